// One look serves all who asked before it began: a hundred volumes do not mean a hundred `tgtadm --op show`.

/** Calls made while a look is under way share the next one, which begins after all of them. */
export function coalesced<T>(look: () => Promise<T>): () => Promise<T> {
  let running: Promise<unknown> | undefined;
  let next: Promise<T> | undefined;
  const begin = (): Promise<T> => {
    next = undefined;
    const mine = look();
    const ended = mine
      .catch(() => {})
      .finally(() => {
        if (running === ended) {
          running = undefined;
        }
      });
    running = ended;
    return mine;
  };
  return () => {
    if (running === undefined) {
      return begin();
    }
    next ??= running.then(begin);
    return next;
  };
}
