// What the charts show: the figures of the last SIZE ticks, kept here in the page and nowhere else.

const SIZE = 600;
const FORGET = 60; // ticks after which a container that is gone is forgotten

const SERIES = {
  cpu: (one) => one.cpu.usage_cores,
  cpuLimit: (one) => one.cpu.limit_cores,
  throttled: (one) => one.cpu.throttled_ratio,
  inherited: (one) => one.cpu.inherited_throttled_ratio,
  memory: (one) => one.memory.working_set_bytes ?? one.memory.anon_bytes,
  unreclaimable: (one) => one.memory.unreclaimable_bytes,
  memoryLimit: (one) => one.memory.limit_bytes,
  cpuWait: (one) => one.cpu.pressure_some_ratio,
  memoryWait: (one) => one.memory.pressure_some_ratio,
  ioWait: (one) => one.io.pressure_some_ratio,
  rx: (one) => one.network.receive_bytes_per_second,
  tx: (one) => one.network.transmit_bytes_per_second,
  read: (one) => one.io.read_bytes_per_second,
  write: (one) => one.io.write_bytes_per_second,
};
const GETTERS = Object.values(SERIES);
const PLACES = Object.fromEntries(Object.keys(SERIES).map((name, index) => [name, index]));

/** Rings that share one axis of time. */
export class History {
  constructor(size = SIZE) {
    this.size = size;
    this.times = new Float64Array(size);
    this.length = 0;
    this.next = 0;
    this.interval = 1; // of the last document that told it: the first of a stream may not
    this.kept = new Map();
    this.pinned = null;
  }

  /** Note a document. After a pause there is a gap, not a line across it. */
  add(document) {
    const before = this.length ? this.times[(this.next + this.size - 1) % this.size] : null;
    if (before !== null && document.taken_at <= before) return; // seen already, on the stream before
    const interval = (this.interval = document.interval_seconds ?? this.interval);
    if (before !== null && document.taken_at - before > 2 * interval + 1) this.#tick(before + interval, []);
    this.#tick(document.taken_at, document.containers);
  }

  #tick(time, containers) {
    const place = this.next;
    this.times[place] = time;
    this.next = (place + 1) % this.size;
    this.length = Math.min(this.length + 1, this.size);
    for (const ring of this.kept.values()) ring.missing += 1;
    for (const container of containers) {
      let ring = this.kept.get(container.id);
      if (!ring) this.kept.set(container.id, (ring = { missing: 0, values: new Float32Array(this.size * GETTERS.length).fill(NaN) }));
      ring.missing = 0;
      GETTERS.forEach((get, index) => {
        ring.values[index * this.size + place] = get(container) ?? NaN;
      });
    }
    for (const [id, ring] of this.kept) {
      if (!ring.missing) continue;
      GETTERS.forEach((_, index) => {
        ring.values[index * this.size + place] = NaN;
      });
      if (ring.missing > FORGET && id !== this.pinned) this.kept.delete(id);
    }
  }

  /** The last values of one series, oldest first; NaN where there is none. */
  last(id, name, number) {
    const ring = this.kept.get(id)?.values;
    if (!ring) return [];
    const first = PLACES[name] * this.size;
    const length = Math.min(number, this.length);
    return Array.from({ length }, (_, index) => ring[first + ((this.next - length + index + this.size) % this.size)]);
  }

  /** The times, and for each name the values, oldest first; null where there is none. */
  series(id, names) {
    const first = (this.next + this.size - this.length) % this.size;
    const order = Array.from({ length: this.length }, (_, index) => (first + index) % this.size);
    const values = this.kept.get(id)?.values;
    return [
      order.map((place) => this.times[place]),
      ...names.map((name) => order.map((place) => {
        const value = values ? values[PLACES[name] * this.size + place] : NaN;
        return Number.isNaN(value) ? null : value;
      })),
    ];
  }
}
