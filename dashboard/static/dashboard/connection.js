// The websocket: a snapshot, then changes, each acknowledged; comes back by itself.

const FINAL = { 4401: "logged out", 4403: "not allowed", 4404: "no site" };
// The server sends at least once a second; after this silence the line is dead.
const SILENCE_MS = 6_000;

export class Connection {
  // `onState(state, page)` after each message, `onLost(reason)` when there is no connection:
  // reason is null while it tries again, or one of FINAL's when trying again is no use.
  constructor(url, onState, onLost) {
    this.url = url;
    this.onState = onState;
    this.onLost = onLost;
    this.failures = 0;
    this.open();
    addEventListener("online", () => this.retry());
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.retry(); });
  }

  open() {
    this.waiting = null;
    this.state = null;
    const socket = (this.socket = new WebSocket(this.url));
    this.listen();
    socket.onmessage = (event) => { if (socket === this.socket) this.receive(JSON.parse(event.data)); };
    socket.onclose = (event) => { if (socket === this.socket) this.lose(event.code); };
  }

  receive(message) {
    this.failures = 0;
    this.listen();
    if (message.type === "snapshot") {
      this.state = message.state;
      this.page = message.page;
    } else if (this.state) {
      this.state = { ...this.state, ...message.changes };
    }
    this.socket.send(JSON.stringify({ ack: message.seq }));
    this.onState(this.state, this.page);
  }

  // A connection can be dead without being closed.
  listen() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => {
      this.socket.close();
      this.lose(0);
    }, SILENCE_MS);
  }

  lose(code) {
    clearTimeout(this.silence);
    this.socket = null;
    const reason = FINAL[code] ?? null;
    this.onLost(reason);
    if (reason) return;
    // Later and later, and not all at once when a server restarts.
    const delay = Math.min(15_000, 400 * 2 ** this.failures) * (0.5 + Math.random() / 2);
    this.failures += 1;
    this.waiting = setTimeout(() => this.open(), delay);
  }

  retry() {
    if (!this.waiting) return;
    clearTimeout(this.waiting);
    this.open();
  }
}
