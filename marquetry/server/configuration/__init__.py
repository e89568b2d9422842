"""Groups of settings, one file each; `server.settings` holds them under their names."""
