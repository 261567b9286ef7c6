/** Capabilities that others have left on in QEMU, and that spoil all files, or only saves to files. */
export const LEFT_CAPABILITIES = [
  {
    id: 'return-path',
    section: '7.1 9',
    spoils: 'saves',
    words: 'with return-path every save to a file fails',
  },
  {
    id: 'dirty-bitmaps',
    section: '1.8',
    spoils: 'saves',
    words: 'with dirty-bitmaps the file goes only with these disks; QEMU keeps the bitmaps',
  },
  { id: 'switchover-ack', section: '6.2', spoils: 'saves', words: 'switchover-ack takes return-path' },
  {
    id: 'background-snapshot',
    section: '7.1 5',
    spoils: 'files',
    words: 'with background-snapshot the bitmaps are never written, and all memory reads as zeros',
  },
  {
    id: 'pause-before-switchover',
    section: '6.2',
    spoils: 'saves',
    words: 'the save would wait for migrate-continue',
  },
  { id: 'x-colo', section: '6.2', spoils: 'files', words: 'COLO means nothing for a file' },
  { id: 'xbzrle', section: '6.2', spoils: 'files', words: 'mapped-ram and xbzrle exclude each other' },
  {
    id: 'postcopy-ram',
    section: '6.2',
    spoils: 'files',
    words: 'mapped-ram and postcopy-ram exclude each other',
  },
  {
    id: 'postcopy-preempt',
    section: '6.2',
    spoils: 'files',
    words: 'postcopy-preempt takes postcopy-ram',
  },
  {
    id: 'zero-copy-send',
    section: '6.2',
    spoils: 'files',
    words: 'zero-copy-send takes multifd over a socket',
  },
  // QEMU 9.0 has compress; the capability is gone since 9.1.
  { id: 'compress', section: '6.1', spoils: 'files', words: 'mapped-ram and compress exclude each other' },
] as const;
