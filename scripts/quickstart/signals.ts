// The wish to end, once it was heard.
import { isCopy } from '../../test/harness/early-end.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** From now on copies of the signal just heard are ignored; one that comes later is a second wish and ends the process at once. */
export function ignoreCopies(): void {
  const heardAt = Date.now();
  for (const signal of SIGNALS) {
    process.removeAllListeners(signal);
    process.on(signal, () => {
      if (!isCopy(heardAt)) {
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
