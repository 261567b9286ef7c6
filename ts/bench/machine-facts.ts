/** Facts about the machine that a report's figures depend on. A fact that cannot be found out is undefined. */
export interface MachineFacts {
  readonly kernel: string;
  readonly architecture: string;
  readonly cpu: string | undefined;
  /** Processors that this process may use. */
  readonly processors: number;
  /** Bytes. */
  readonly memory: number;
  /** The filesystem under the measured directory, and its device. */
  readonly filesystem: string | undefined;
  readonly device: string | undefined;
  /** Load average of the last minute, when the bench began. */
  readonly load: number;
  readonly node: string;
  readonly mappedRam: string;
  readonly qemu: string | undefined;
  readonly fio: string | undefined;
}
