// Where the self-contained executable begins. It is CommonJS, which knows no top-level await and no `import.meta.main`.
import { main } from './main.ts';

main().then(
  (exitCode) => {
    process.exitCode = exitCode;
  },
  (error) => {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
    process.exitCode = 1;
  },
);
