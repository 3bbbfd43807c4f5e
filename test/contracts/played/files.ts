import type { Files } from '../../../node-agent/exec/files.ts';

type AnyWork = (...args: readonly unknown[]) => unknown;

/** The files of whatever stand-in there is at the moment. */
export const delegated = (now: () => Files): Files =>
  Object.fromEntries(
    Object.keys(now()).map((name) => [
      name,
      (...args: readonly unknown[]) => (now()[name as keyof Files] as AnyWork)(...args),
    ]),
  ) as unknown as Files;
