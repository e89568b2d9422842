"""Workers: where the executor lives. One interface; in the server's process, or in a child process that may crash."""
