import type { Configuration } from '../configuration.ts';
import type { ByteRange } from '../reader.ts';
import type {
  CommandRecord,
  OpaqueRecord,
  RamBlockRecord,
  RamListRecord,
  SectionRecord,
  VmdescriptionRecord,
} from '../records.ts';

/** A StreamIndex while the walk fills it. */
export interface IndexDraft {
  configuration: Configuration | undefined;
  ram: RamDraft | undefined;
  readonly sections: SectionRecord[];
  readonly commands: CommandRecord[];
  eofOffset: number | undefined;
  vmdescription: VmdescriptionRecord | undefined;
  trailing: ByteRange | undefined;
  opaque: OpaqueRecord | undefined;
}

export interface RamDraft {
  readonly list: RamListRecord;
  readonly blocks: RamBlockRecord[];
  readonly sections: ByteRange[];
  readonly pages: { zero: number; page: number; xbzrle: number; compressed: number };
  startEnd: number | undefined;
  /** Of the first PART or END section. */
  continuedAt: number | undefined;
  ended: boolean;
}

export function newIndexDraft(): IndexDraft {
  return {
    configuration: undefined,
    ram: undefined,
    sections: [],
    commands: [],
    eofOffset: undefined,
    vmdescription: undefined,
    trailing: undefined,
    opaque: undefined,
  };
}
