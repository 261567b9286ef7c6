import { rm } from 'node:fs/promises';

import { probe } from '../../engine/probe.ts';
import { MappedRamError } from '../../errors.ts';
import { unpack } from '../../pack/unpack.ts';
import type { MakeContenders } from '../contender.ts';
import { OwnFolder } from '../own-folder.ts';
import { missing } from './contenders.ts';
import { findHugePages } from './huge-pages.ts';
import type { BenchTransfer } from './job.ts';
import { OurContender, type OurContenderOptions } from './our-contender.ts';

export const HUGE_PAGES_NAME = 'mapped-ram, huge pages';

/**
 * Makes the contender that saves from memory in huge pages, or loads into such memory: a file on hugetlbfs, where one is
 * mounted and has room for twice the memory. Stretches of zeros as long as a huge page are holes in it, as a load leaves
 * them.
 */
export function hugePageContenders(work: 'save' | 'load', transfer: BenchTransfer): MakeContenders {
  return async (files, state, signal) => {
    const name = HUGE_PAGES_NAME;
    const lacking = missing(transfer, probe(files.directory));
    if (lacking !== undefined) return { contenders: [], skipped: [{ name, reason: lacking }] };
    const place = await findHugePages(files.size);
    if ('why' in place) return { contenders: [], skipped: [{ name, reason: place.why }] };
    const folder = await OwnFolder.create(place.path);
    try {
      const own = { ...files, memory: folder.file('guest.ram'), memoryDirectory: folder.path };
      // Nothing writes there but mappings, which a load has.
      await unpack(files.snapshot, { ram: { [files.block]: own.memory }, signal });
      if (work === 'load') await rm(own.memory);
      // hugetlbfs has neither write(2) nor files of 1 MiB.
      const smallMemoryDirectory = files.memoryDirectory;
      const options = { name, work, files: own, state, transfer, smallMemoryDirectory };
      return { contenders: [new HugePageContender(options, folder, place.pageBytes)], skipped: [] };
    } catch (error) {
      await folder[Symbol.asyncDispose]();
      // Others may have taken the pages meanwhile, and a control group may allow fewer of them.
      if (!(error instanceof MappedRamError) || error.code !== 'ERR_MAPPED_RAM_IO') throw error;
      return { contenders: [], skipped: [{ name, reason: error.message }] };
    }
  };
}

class HugePageContender extends OurContender {
  readonly #folder: OwnFolder;
  readonly #pageBytes: number;
  #isOver = false;

  constructor(options: OurContenderOptions, folder: OwnFolder, pageBytes: number) {
    super(options);
    this.#folder = folder;
    this.#pageBytes = pageBytes;
  }

  override get settings(): OurContender['settings'] {
    return { ...super.settings, hugePageBytes: this.#pageBytes };
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    try {
      await super[Symbol.asyncDispose]();
    } finally {
      await this.#folder[Symbol.asyncDispose]();
    }
  }
}
