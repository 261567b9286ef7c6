/** The files that belong to a file by its name, such as its seal. They would lie beside a new file as if they were its own. */
export interface Companions {
  /**
   * Makes sure that the companions of the file with this name can be removed.
   * @throws {MappedRamError} when they cannot
   */
  readonly check: (path: string) => Promise<void>;
  /** Removes them, right before the file is replaced. */
  readonly remove: (path: string) => Promise<void>;
}
