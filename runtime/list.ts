import type { KubeObject, Resource } from '../api/object.ts';
import type { Api, Page, Selection } from './api.ts';
import { ApiError } from './errors.ts';

const PAGE_SIZE = 500;

export interface ListAllOptions {
  readonly signal?: AbortSignal;
  /** Called after each page. */
  readonly onPage?: () => void;
}

/** Everything selected, page by page, as of one resourceVersion. */
export async function listAll<T extends KubeObject>(
  api: Pick<Api, 'list'>,
  resource: Resource,
  selection: Selection = {},
  { signal, onPage }: ListAllOptions = {},
): Promise<Page<T>> {
  const options = signal === undefined ? {} : { signal };
  const items: T[] = [];
  let page: Page<T> | undefined;
  do {
    const token = page?.continue;
    try {
      const position = token === undefined ? {} : { continue: token };
      page = await api.list<T>(resource, { ...selection, limit: PAGE_SIZE, ...position }, options);
    } catch (error) {
      if (token !== undefined && error instanceof ApiError && error.isGone) {
        // The pages were compacted away under our feet: take all at once rather than lose the race again.
        return api.list<T>(resource, selection, options);
      }
      throw error;
    }
    items.push(...page.items);
    onPage?.();
  } while (page.continue !== undefined);
  return { items, resourceVersion: page.resourceVersion };
}
