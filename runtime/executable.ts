// How a program of ours begins: its exit code is what `main` answers, and whatever it throws is shown.
export const runMain = (main: () => Promise<number | undefined>): void => {
  main().then(
    (exitCode) => {
      process.exitCode = exitCode;
    },
    (error) => {
      process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
      process.exitCode = 1;
    },
  );
};
