/** The classes with a byte length of their own: bytes read from a file end up in one of them. */
const BUFFERS = [
  ArrayBuffer,
  Uint8Array,
  Int8Array,
  Uint8ClampedArray,
  Uint16Array,
  Int16Array,
  Uint32Array,
  Int32Array,
  Float32Array,
  Float64Array,
  BigUint64Array,
  BigInt64Array,
] as const;

let largest = 0;

/**
 * Records the length of every buffer that is made by length, in the whole process, from now on. A look at the heap is
 * not enough: a large buffer that is dropped may be gone before anybody looks.
 */
export function watchAllocations(): void {
  for (const buffer of BUFFERS) {
    // The class is watched already.
    if (Reflect.get(globalThis, buffer.name) !== buffer) continue;
    const elementBytes = 'BYTES_PER_ELEMENT' in buffer ? buffer.BYTES_PER_ELEMENT : 1;
    const watched: typeof buffer = new Proxy(buffer, {
      construct: (target, args: readonly unknown[], newTarget) => {
        const [length] = args;
        if (typeof length === 'number') largest = Math.max(largest, length * elementBytes);
        return Reflect.construct(target, args, newTarget === watched ? target : newTarget);
      },
    });
    Object.defineProperty(globalThis, buffer.name, { value: watched });
  }
}

/** Returns the length in bytes of the largest buffer since the last call. */
export function takeLargestAllocation(): number {
  const bytes = largest;
  largest = 0;
  return bytes;
}
