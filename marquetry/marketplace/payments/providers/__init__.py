"""Payment providers, one file each: a class under the name PROVIDER."""
