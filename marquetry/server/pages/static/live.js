// The WebSocket: progress and previews of this page's jobs. Connects again by itself, under the same id.

const AGAIN_MS = 500;

export class Live {
  constructor(heard) {
    this.heard = heard;
    this.id = sessionStorage.getItem("client") ?? crypto.randomUUID?.() ?? String(Math.random()).slice(2);
    sessionStorage.setItem("client", this.id);
    this.connect();
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws?clientId=${encodeURIComponent(this.id)}`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send(JSON.stringify({ type: "feature_flags", data: { supports_preview_metadata: true, supports_progress_deltas: true } }));
    socket.onmessage = (message) => (typeof message.data === "string" ? this.text(message.data) : this.binary(message.data));
    socket.onclose = (event) => {
      this.heard.away?.();
      if (event.code !== 1008) setTimeout(() => this.connect(), AGAIN_MS);
    };
  }

  text(data) {
    const { type, data: said } = JSON.parse(data);
    this.heard[type]?.(said);
  }

  binary(buffer) {
    const view = new DataView(buffer);
    if (view.getUint32(0) !== 4) return;
    const length = view.getUint32(4);
    const about = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
    this.heard.preview?.(about, new Blob([new Uint8Array(buffer, 8 + length)], { type: about.image_type }));
  }
}
