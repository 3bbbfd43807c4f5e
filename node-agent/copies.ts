// Copies of this host's objects on its own disk: after a reboot with the API server away, targets and attachments are
// rebuilt from them. They grant nothing new: what was withdrawn or released is remembered apart, and irreversible steps
// read the API live.
import type { KubeObject } from '../api/object.ts';
import type { Log } from '../runtime/log.ts';
import type { Reflector } from '../runtime/reflector.ts';
import type { RecordStore } from './store.ts';

/** Seeds the reflector from the copies and keeps the copies in step from now on. */
export function keepCopies<T extends KubeObject>(
  reflector: Reflector<T>,
  copies: RecordStore<T>,
  log: Log,
): void {
  reflector.seed(copies.list());
  let last = Promise.resolve();
  const inOrder = (write: () => Promise<void>) => {
    last = last.then(write).catch((error) => log.warn({ err: error }, 'Cannot keep a copy of an object'));
  };
  reflector.onChange(({ object, old }) => {
    if (object !== undefined) {
      inOrder(() => copies.put(object.metadata.uid, object));
    }
    if (old !== undefined && old.metadata.uid !== object?.metadata.uid) {
      inOrder(() => copies.remove(old.metadata.uid));
    }
  });
}
