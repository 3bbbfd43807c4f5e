/** What a reason of a condition tells a person, and how the controller treats it. */
export interface ReasonInfo {
  /** C controller, S volume server, H hypervisor. */
  readonly by: readonly ('C' | 'S' | 'H')[];
  /** Condition types that carry it; Ready, Reconciling and Stalled repeat what stands behind them. */
  readonly on: readonly string[];
  readonly meaning: string;
  /** What a person does about it. */
  readonly remedy: string;
  /** Nothing can go on before a person changes something: kstatus' Stalled. */
  readonly stalls?: true;
  /** An ordinary wait for its turn: nothing is wrong, and its event is no warning. */
  readonly waits?: true;
  /** About the settings of a host: it says nothing about what is on it. */
  readonly setting?: true;
  /** A step which normally lasts no longer than so many milliseconds: untold until then, and no event. */
  readonly passesMs?: number;
}

export const NOTHING = 'nothing';
export const WAIT = 'nothing; it goes on by itself';
/** Above what a step takes on an idle host, and below what a person takes for a hang. */
export const STEP_MS = 1_500;
