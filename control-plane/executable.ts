// Where the self-contained executable begins. It is CommonJS, which knows no top-level await and no `import.meta.main`.
import { runMain } from '../runtime/executable.ts';
import { main } from './main.ts';

runMain(() => main(process.argv.slice(2)));
