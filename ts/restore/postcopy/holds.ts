import { deferred } from '../../host/deferred.ts';

/** Reasons for something to wait, which come and go. */
export class Holds {
  #count = 0;
  #released = deferred<void>();

  /** Adds a reason, until the result is disposed of. */
  hold(): Disposable {
    this.#count += 1;
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        this.#count -= 1;
        if (this.isHeld) return;
        this.#released.resolve();
        this.#released = deferred();
      },
    };
  }

  get isHeld(): boolean {
    return this.#count > 0;
  }

  /** Settles when the last reason of now has gone. Another may have come by then. */
  get released(): Promise<void> {
    return this.#released.promise;
  }
}
