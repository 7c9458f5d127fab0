/** A stand-in for WebSocket whose other end the test plays. `sockets` lists every one that was opened. */
export function fakeSockets() {
  const sockets = [];

  class FakeSocket extends EventTarget {
    readyState = 0;
    sent = [];

    constructor(url, protocol) {
      super();
      this.url = url;
      this.protocol = protocol;
      sockets.push(this);
    }

    send(text) {
      this.sent.push(JSON.parse(text));
    }

    close(code) {
      this.closedWith = code;
      this.readyState = 3;
    }

    // The test's side

    open() {
      this.readyState = 1;
      this.dispatchEvent(new Event("open"));
    }

    say(frame) {
      this.dispatchEvent(Object.assign(new Event("message"), { data: JSON.stringify(frame) }));
    }

    end(code) {
      this.readyState = 3;
      this.dispatchEvent(Object.assign(new Event("close"), { code }));
    }

    /** Open and answer `connect`. */
    welcome(extra = {}) {
      this.open();
      this.say({
        type: "connected",
        reply_to: this.last("connect").id,
        user_id: "ana",
        session_id: "s1",
        heartbeat_s: 25,
        server_time: "2026-03-02T10:00:00.000Z",
        more: false,
        chats: {},
        ...extra,
      });
    }

    last(type) {
      return this.sent.findLast((frame) => frame.type === type);
    }

    all(type) {
      return this.sent.filter((frame) => frame.type === type);
    }
  }

  return { FakeSocket, sockets };
}
