/** Where the memory of a restored guest comes from. */
export type RestoreMode = 'eager' | 'preload' | 'instant';
