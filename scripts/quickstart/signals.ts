// The wish to end, once it was heard.

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const COPIES_FOR_MS = 1000;

/**
 * One Ctrl-C or closed terminal arrives several times: from the terminal itself, from npm, from bootstrap.mjs. From now on
 * such copies are ignored; a signal that comes later is a second wish and ends the process at once.
 */
export function ignoreCopies(): void {
  const heardAt = Date.now();
  for (const signal of SIGNALS) {
    process.removeAllListeners(signal);
    process.on(signal, () => {
      if (Date.now() - heardAt > COPIES_FOR_MS) {
        process.exit(1);
      }
    });
  }
}

/** Without a reader there is nobody to run for: a closed terminal or pipe ends the run in order. */
export function endWithoutReader(): void {
  let isTold = false;
  const tell = () => {
    if (!isTold) {
      isTold = true;
      process.kill(process.pid, 'SIGHUP');
    }
  };
  process.stdout.on('error', tell);
  process.stderr.on('error', tell);
}
