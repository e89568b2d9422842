"""The server: HTTP, WebSocket, jobs, files and the command line; composes everything below it."""
