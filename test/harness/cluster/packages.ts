// Debian packages of a node.
import { access, constants } from 'node:fs/promises';
import path from 'node:path';
import { labPackages } from '../packages.ts';

/** Another engine's package may bring one of these, and would have to go for Debian's. */
const ENGINE = { containerd: 'containerd', runc: 'runc' };

const isOnPath = async (program: string): Promise<boolean> => {
  for (const dir of (process.env.PATH ?? '').split(path.delimiter)) {
    const found = access(path.join(dir, program), constants.X_OK);
    if (
      await found.then(
        () => true,
        () => false,
      )
    ) {
      return true;
    }
  }
  return false;
};

/** What is missing for a node, and for hosts and guests on it; parts of an engine that are there are taken as they are. */
export const nodePackages = async (): Promise<readonly string[]> => {
  const names = [...labPackages, 'containernetworking-plugins', 'iproute2', 'umoci'];
  for (const [program, name] of Object.entries(ENGINE)) {
    if (!(await isOnPath(program))) {
      names.push(name);
    }
  }
  return names;
};
