// What stands in the Go module of another project, under a checksum.
import { execFile } from 'node:child_process';
import os from 'node:os';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface GoModule {
  /** With its version. */
  readonly module: string;
  /** As in a go.sum. */
  readonly sum: string;
}

interface Download {
  readonly limitMs: number;
  /** In the place of Go's own cache; what comes there can be removed. */
  readonly cache?: string;
}

/** The folder of it. */
export const downloadGoModule = async (
  { module, sum }: GoModule,
  { limitMs, cache }: Download,
): Promise<string> => {
  const own = cache === undefined ? {} : { GOMODCACHE: cache, GOFLAGS: '-modcacherw' };
  const { stdout } = await run('go', ['mod', 'download', '-json', module], {
    cwd: os.tmpdir(),
    env: { ...process.env, GOFLAGS: '', GOWORK: 'off', ...own },
    timeout: limitMs,
  });
  const { Dir: dir, Sum: found } = JSON.parse(stdout) as { readonly Dir: string; readonly Sum: string };
  if (found !== sum) {
    throw new Error(`${module} has the checksum ${found}, and not ${sum}`);
  }
  return dir;
};
