"""ComfyUI's execution contract, held over HTTP and WebSocket by a real server with a real node pack."""
