export { formatMigrationUri } from './format-migration-uri.ts';
export type * from './migration-address.ts';
export { fromMigrationChannels, toMigrationChannels } from './migration-channels.ts';
export { parseFdset } from './parse-fdset.ts';
export { type FileTarget, parseFileTarget } from './parse-file-target.ts';
export { parseMigrationUri } from './parse-migration-uri.ts';
export { parseSize } from './parse-size.ts';
