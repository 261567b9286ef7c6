/**
 * Numbers for the QEMUs of a pool. Each gets the lowest one that is free, so that a caller needs as many ports, disks and
 * names as QEMUs live at the same time.
 */
export class Numbers {
  readonly #taken = new Set<number>();

  /** Takes the lowest number that is free, from 0 on. */
  take(): number {
    let number = 0;
    while (this.#taken.has(number)) number += 1;
    this.#taken.add(number);
    return number;
  }

  free(number: number): void {
    this.#taken.delete(number);
  }
}
