/** Every Markdown page of the repository. */
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

const ROOT = path.resolve(import.meta.dirname, '../..');
const SKIPPED = new Set(['node_modules', '.git', 'dist']);

async function pagesIn(directory: string): Promise<readonly string[]> {
  const entries = await readdir(path.join(ROOT, directory), { withFileTypes: true });
  const found = await Promise.all(
    entries
      .filter(({ name }) => !SKIPPED.has(name))
      .map(async (entry): Promise<readonly string[]> => {
        const name = path.join(directory, entry.name);
        if (entry.isDirectory()) {
          return await pagesIn(name);
        }
        return entry.name.endsWith('.md') ? [name] : [];
      }),
  );
  return found.flat().sort();
}

/** By its path from the root. */
export async function pagesWithText(): Promise<ReadonlyMap<string, string>> {
  const pages = await pagesIn('.');
  return new Map(
    await Promise.all(
      pages.map(async (page) => [page, await readFile(path.join(ROOT, page), 'utf8')] as const),
    ),
  );
}
