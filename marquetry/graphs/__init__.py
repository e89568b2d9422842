"""The graphs that ship, with what they take and give. Each one is run by a test."""
