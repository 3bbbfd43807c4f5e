// iscsi-inq and iscsi-readcapacity16 of libiscsi: each logs in beside whoever is connected, asks, and is gone. Words and exit codes are
// those recorded from libiscsi 1.19 (test/fixtures/libiscsi).
import type { Command, CommandOutput } from '../../../node-agent/exec/command.ts';
import type { Reach } from '../iscsi.ts';
import { CannotOpen } from './qemu.ts';

const URL = /^iscsi:\/\/(?<portal>[^/]+)\/(?<iqn>[^/]+)\/(?<lun>\d+)$/;

const failed = (words: string): CommandOutput => ({
  exitCode: 10,
  stdout: '',
  stderr: `Login Failed. ${words}\n`,
});

export const askByIscsi = (
  { file, args, env = {} }: Pick<Command, 'file' | 'args' | 'env'>,
  isid: string,
  reach: Reach,
): CommandOutput => {
  const { portal = '', iqn = '', lun = '' } = URL.exec(args.at(-1) ?? '')?.groups ?? {};
  const remote = reach({
    portal,
    iqn,
    isid,
    initiator: args[args.indexOf('--initiator-name') + 1] ?? '',
    user: env.LIBISCSI_CHAP_USERNAME ?? '',
    password: env.LIBISCSI_CHAP_PASSWORD ?? '',
  });
  if (typeof remote === 'string') {
    return failed(new CannotOpen(remote).message);
  }
  const unit = remote.unit(Number(lun));
  remote.end();
  if (unit === undefined) {
    return failed(new CannotOpen('no unit').message);
  }
  const stdout =
    file === 'iscsi-inq' ? `Unit Serial Number:[${unit.serial}]\n` : `${unit.device.sizeBytes}\n`;
  return { exitCode: 0, stdout, stderr: '' };
};
