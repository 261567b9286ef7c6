/** Says of pages of this size whether all of their bytes are zero: as fast as memory is compared. */
export function zeroTest(pageSize: number): (page: Uint8Array) => boolean {
  const zeros = new Uint8Array(pageSize);
  return (page) => Buffer.compare(page, zeros) === 0;
}
