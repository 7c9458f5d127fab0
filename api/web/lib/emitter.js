/** Listeners by name. One that throws does not keep the others from hearing: its error surfaces on a later turn. */
export class Emitter {
  #listeners = new Map();

  /** Call `listener(detail)` on every `name`; returns the function that stops it. */
  on(name, listener) {
    const set = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, set.add(listener));
    return () => set.delete(listener);
  }

  emit(name, detail) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        listener(detail);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
