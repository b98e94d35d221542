// The exporter's stream of documents, and the truth about it: live, late, or cut off since when.

const LATE_SECONDS = 3; // beyond the interval
const RETRY_MS = 5000;
const HIDDEN_MS = 300_000; // a page that nobody has looked at for so long lets the exporter rest

export class Stream {
  /** `onDocument` gets each document, `onState` {live, text, since} whenever what is to be said of the connection changes. */
  constructor(onDocument, onState) {
    this.onDocument = onDocument;
    this.onState = onState;
    this.interval = 1;
    this.detail = null;
    this.labels = false; // whether the table's containers come with their labels
    this.last = null;
    this.problem = null;
    this.open_ = false;
    setInterval(() => this.#tell(), 1000);
    document.addEventListener("visibilitychange", () => this.#seen());
    window.addEventListener("pagehide", () => this.source?.close());
    window.addEventListener("pageshow", (event) => event.persisted && this.open());
  }

  /** (Re)connect, with what is wanted now. */
  open() {
    clearTimeout(this.retry);
    this.source?.close();
    const wanted = new URLSearchParams({ interval: this.interval, view: "table" });
    if (this.labels) wanted.set("labels", "1");
    if (this.detail !== null) wanted.set("detail", this.detail);
    const source = (this.source = new EventSource(`../api/v1/stream?${wanted}`));
    source.addEventListener("open", () => this.#opened(source));
    source.addEventListener("message", (event) => this.#message(event));
    source.addEventListener("problem", (event) => {
      this.problem = JSON.parse(event.data).error;
      this.#tell();
    });
    source.addEventListener("error", () => this.#failed(source));
    this.#tell();
  }

  #opened(source) {
    this.open_ = source === this.source;
    this.problem = null;
    this.#tell();
  }

  #message(event) {
    this.last = performance.now();
    this.problem = null;
    this.#tell();
    this.onDocument(JSON.parse(event.data));
  }

  #failed(source) {
    this.open_ = false;
    // The browser tries again by itself, but not after an answer such as 503 (too many streams) or 401.
    if (source.readyState === EventSource.CLOSED) this.retry = setTimeout(() => this.open(), RETRY_MS);
    this.#tell();
  }

  #seen() {
    clearTimeout(this.rest);
    if (document.hidden) {
      this.rest = setTimeout(() => {
        clearTimeout(this.retry);
        this.source?.close();
        this.resting = true;
        this.open_ = false;
      }, HIDDEN_MS);
    } else if (this.resting) {
      this.resting = false;
      this.open();
    }
  }

  #tell() {
    const ago = this.last === null ? null : (performance.now() - this.last) / 1000;
    const since = ago === null ? "" : `, last update ${Math.round(ago)} s ago`;
    let state = { live: true, text: "live", since: "" };
    if (this.problem) state = { live: false, text: this.problem, since };
    else if (!this.open_ && (ago === null || ago > this.interval + 0.5)) {
      state = { live: false, text: this.last === null ? "connecting …" : "disconnected", since };
    } else if (ago !== null && ago > this.interval + LATE_SECONDS) state = { live: false, text: "no answer", since };
    const told = state.text + state.since;
    if (told !== this.told) {
      this.told = told;
      this.onState(state);
    }
  }
}
