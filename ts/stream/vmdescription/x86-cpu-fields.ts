/** A field, as a vmdescription has it. */
type Field = Readonly<Record<string, unknown>>;

/** The fields of the section `cpu`, whole and in this order, without their `env.`. */
const FIELDS = `
  regs:uint64*16 eip:uint64 eflags:uint64 hflags:uint32 fpuc:uint16 fpus_vmstate:uint16
  fptag_vmstate:uint16 fpregs_format_vmstate:uint16 fpregs:fpreg*8 segs:segment*6 ldt:segment tr:segment
  gdt:segment idt:segment sysenter_cs:uint32 sysenter_esp:uint64 sysenter_eip:uint64 cr[0]:uint64
  cr[2]:uint64 cr[3]:uint64 cr[4]:uint64 dr:uint64*8 a20_mask:int32 mxcsr:uint32 xmm_regs[0]:xmm_reg*16
  efer:uint64 star:uint64 lstar:uint64 cstar:uint64 fmask:uint64 kernelgsbase:uint64 smbase:uint32
  pat:uint64 hflags2:uint32 vm_hsave:uint64 vm_vmcb:uint64 tsc_offset:uint64 intercept:uint64
  intercept_cr_read:uint16 intercept_cr_write:uint16 intercept_dr_read:uint16 intercept_dr_write:uint16
  intercept_exceptions:uint32 v_tpr:uint8 mtrr_fixed:uint64*11 mtrr_deftype:uint64 mtrr_var:mtrr_var*8
  interrupt_injected:int32 mp_state:uint32 tsc:uint64 exception_nr:int32 soft_interrupt:uint8
  nmi_injected:uint8 nmi_pending:uint8 has_error_code:uint8 sipi_vector:uint32 mcg_cap:uint64
  mcg_status:uint64 mcg_ctl:uint64 mce_banks:uint64*40 tsc_aux:uint64 system_time_msr:uint64
  wall_clock_msr:uint64 xcr0:uint64 xstate_bv:uint64 xmm_regs[1]:ymmh_reg*16
`;

/** The fields of the structures among them. */
const STRUCTURES: Readonly<Record<string, { readonly version: number; readonly fields: readonly Field[] }>> =
  {
    fpreg: {
      version: 0,
      fields: [
        {
          name: 'tmp',
          type: 'tmp',
          vmsd_name: 'fpreg_tmp',
          version: 0,
          fields: [field('tmp_mant', 'uint64'), field('tmp_exp', 'uint16')],
          size: 10,
        },
      ],
    },
    segment: {
      version: 1,
      fields: [
        field('selector', 'uint32'),
        field('base', 'uint64'),
        field('limit', 'uint32'),
        field('flags', 'uint32'),
      ],
    },
    xmm_reg: { version: 1, fields: [field('_q_ZMMReg[0]', 'uint64'), field('_q_ZMMReg[1]', 'uint64')] },
    mtrr_var: { version: 1, fields: [field('base', 'uint64'), field('mask', 'uint64')] },
    ymmh_reg: { version: 1, fields: [field('_q_ZMMReg[2]', 'uint64'), field('_q_ZMMReg[3]', 'uint64')] },
  };

/** A section whose first fields are known; what a CPU has beyond them follows in subsections. */
export interface KnownSection {
  readonly version: number;
  readonly fields: readonly Field[];
  /** Bytes that the fields take. */
  readonly bytes: number;
}

/** The sections of an x86_64 CPU, by name: the same in QEMU 5.2 to 11.1 (docs/format.md §4.4). */
export const X86_CPU_SECTIONS: ReadonlyMap<string, KnownSection> = new Map([
  ['cpu', known(12, FIELDS.trim().split(/\s+/).map(parseField))],
  ['cpu_common', known(1, [field('halted', 'uint32'), field('interrupt_request', 'uint32')])],
]);

function known(version: number, fields: readonly Field[]): KnownSection {
  return { version, fields, bytes: fields.reduce((sum, one) => sum + bytesOf(one), 0) };
}

/** Reads `name:type` or `name:type*count`. */
function parseField(text: string): Field {
  const [, name = '', type = '', count] = /^(.+):(\w+?)(?:\*(\d+))?$/.exec(text) ?? [];
  const one = STRUCTURES[type] === undefined ? field(`env.${name}`, type) : structure(`env.${name}`, type);
  return count === undefined ? one : { ...one, array_len: Number(count) };
}

function field(name: string, type: string): Field {
  return { name, type, size: Number(/\d+$/.exec(type)?.[0] ?? 0) / 8 };
}

function structure(name: string, type: string): Field {
  const { version = 0, fields = [] } = STRUCTURES[type] ?? {};
  const size = fields.reduce((sum, one) => sum + bytesOf(one), 0);
  return { name, type: 'struct', struct: { vmsd_name: type, version, fields }, size };
}

function bytesOf({ size, array_len: count = 1 }: Field): number {
  return Number(size) * Number(count);
}
