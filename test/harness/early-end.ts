// What happens when a run does not come to its orderly end: signals and crashes.

import { setTimeout as sleep } from 'node:timers/promises';

/** Why a run ends early: a person pressed Ctrl-C, or it was terminated or crashed. */
export type EarlyEnd = 'interrupted' | 'failed';

type Cleanup = (reason: EarlyEnd) => Promise<void>;
const cleanups: Cleanup[] = [];
const interruptions: (() => void)[] = [];
const cleanupLimitMs = 20_000;
const copiesForMs = 1_000;

/**
 * Registers work for an early end (signal or crash); the newest runs first. Returns a
 * function that takes the registration back, for the orderly end.
 */
export const onEarlyEnd = (cleanup: Cleanup): (() => void) => {
  catchExits();
  cleanups.push(cleanup);
  return () => {
    const index = cleanups.indexOf(cleanup);
    if (index >= 0) {
      cleanups.splice(index, 1);
    }
  };
};

/**
 * Waits for Ctrl-C or SIGTERM, which then is the wish for an orderly end and not an
 * early one. For programs that stay up until their user has seen enough.
 */
export const untilInterrupted = async (): Promise<void> => {
  catchExits();
  // A pending promise alone would not keep the process alive.
  const alive = setInterval(() => {}, 60_000);
  await new Promise<void>((resolve) => interruptions.push(resolve));
  clearInterval(alive);
};

const runCleanups = async (reason: EarlyEnd): Promise<void> => {
  for (let cleanup = cleanups.pop(); cleanup; cleanup = cleanups.pop()) {
    await cleanup(reason).catch((error: unknown) =>
      process.stderr.write(`cleanup failed: ${String(error)}\n`),
    );
  }
};

const endEarly = async (reason: EarlyEnd, exitCode: number): Promise<void> => {
  await Promise.race([runCleanups(reason), sleep(cleanupLimitMs)]);
  process.exit(exitCode);
};

/**
 * One Ctrl-C or closed terminal arrives several times: from the terminal itself, from npm, from bootstrap.mjs. What comes
 * within a second of the first is a copy of it and no second wish.
 */
export const isCopy = (heardAtMs: number): boolean => Date.now() - heardAtMs <= copiesForMs;

let isCatching = false;
let isEnding = false;
let heardAtMs = Number.NEGATIVE_INFINITY;

const onSignal = (signal: NodeJS.Signals, react: () => void): void => {
  process.on(signal, () => {
    if (!isCopy(heardAtMs)) {
      heardAtMs = Date.now();
      react();
    }
  });
};

const end = (reason: EarlyEnd, exitCode: number): void => {
  if (isEnding) {
    process.exit(exitCode); // asked twice: at once
  }
  isEnding = true;
  void endEarly(reason, exitCode);
};

const endOrInterrupt = (reason: EarlyEnd, exitCode: number): void => {
  const waiting = interruptions.splice(0);
  if (waiting.length === 0) {
    end(reason, exitCode);
  }
  for (const resolve of waiting) {
    resolve();
  }
};

/** Sees to it that signals and crashes run the registered cleanups; safe to call often. */
export const catchExits = (): void => {
  if (isCatching) {
    return;
  }
  isCatching = true;
  onSignal('SIGINT', () => endOrInterrupt('interrupted', 130));
  onSignal('SIGTERM', () => endOrInterrupt('failed', 143));
  onSignal('SIGHUP', () => end('interrupted', 129));
  process.on('uncaughtException', (error) => {
    process.stderr.write(`${error.stack ?? error.message}\n`);
    end('failed', 1);
  });
};
