// generated from crds/ by scripts/generate.ts, do not edit

/**
 * What the user wants. Only detachPolicy may change.
 */
export interface AttachmentSpec {
  /**
   * The Volume, in the same namespace. It may be created later.
   */
  volumeRef: {
    /**
     * The Volume's name.
     */
    name: string;
  };
  /**
   * The virtual machine, by exactly one of its name, its UUID or its number.
   */
  instance: {
    /**
     * Binds to the VM of that name on the bound hypervisor.
     */
    name?: string;
    /**
     * Binds to the VM with this UUID, lower case.
     */
    uuid?: string;
    /**
     * Binds to the VM with this number on the bound hypervisor, where its VMs have lasting numbers (Proxmox).
     */
    vmid?: number;
  };
  /**
   * The Hypervisor which runs the VM. Absent means it is found from the instance.
   */
  hypervisor?: string;
  /**
   * Device name wanted in the VM (vdb), honoured or refused as DeviceInUse. Absent means the first free one. Guests should use /dev/disk/by-id/virtio-<volumeID>, since a guest may name its disks differently.
   */
  device?: string;
  /**
   * The VM may read but not write.
   */
  readOnly?: boolean;
  /**
   * Graceful detaches only with the hypervisor's proof that the disk is out of the VM. Fence cuts the hypervisor off at the target when it is silent; while it answers, Fence is graceful too.
   */
  detachPolicy?: 'Graceful' | 'Fence';
}

/**
 * What was seen. export is the volume server's, connection the hypervisor's, all else the controller's.
 */
export interface AttachmentStatus {
  /**
   * The generation of the spec which the conditions speak about; -1 before the first look. (writer: controller)
   */
  observedGeneration?: number;
  /**
   * Ready, Reconciling, Stalled, Admitted, Exported, Connected, Attached, Fenced. (writer: controller)
   *
   * @maxItems 16
   */
  conditions?: {
    /**
     * What the condition is about.
     */
    type: string;
    /**
     * True, False or Unknown.
     */
    status: 'True' | 'False' | 'Unknown';
    /**
     * A CamelCase word for programs.
     */
    reason: string;
    /**
     * A sentence for people.
     */
    message: string;
    /**
     * When the status last flipped.
     */
    lastTransitionTime: string;
    /**
     * The generation of the spec it speaks about.
     */
    observedGeneration?: number;
  }[];
  /**
   * UID of the Volume bound. (writer: controller)
   */
  volumeUID?: string;
  /**
   * Its volumeID. (writer: controller)
   */
  volumeID?: string;
  /**
   * The VolumeServer to export it. (writer: controller)
   */
  server?: string;
  /**
   * The Hypervisor to connect it. (writer: controller)
   */
  hypervisor?: string;
  /**
   * UUID of the VM found when the grant was made. (writer: controller)
   */
  instanceUID?: string;
  /**
   * Epoch of the grant in Volume.status.grants. (writer: controller)
   */
  epoch?: number;
  /**
   * True orders the hypervisor to give the disk up although the Attachment stays, as after a move of the VM. (writer: controller)
   */
  release?: boolean;
  /**
   * Facts about the target. (writer: volume server)
   */
  export?: {
    /**
     * The grant these facts are about.
     */
    epoch: number;
    /**
     * The server's boot in which they were seen.
     */
    bootID: string;
    /**
     * Exported: the initiator may log in. Withdrawn: it may not, has no session, and will never be let in again for this epoch; final. Absent before either was seen.
     */
    state?: 'Exported' | 'Withdrawn';
    /**
     * Target name.
     */
    iqn?: string;
    /**
     * Logical unit number.
     */
    lun?: number;
    /**
     * Addresses of the target, address:port.
     *
     * @maxItems 16
     */
    portals?: string[];
    /**
     * SCSI unit serial number shown by the logical unit.
     */
    serial?: string;
    /**
     * Size in bytes, decimal.
     */
    sizeBytes?: string;
    /**
     * What stops the host now. Absent when nothing does.
     */
    problem?: {
      /**
       * A CamelCase word for programs.
       */
      reason: string;
      /**
       * A sentence for people.
       */
      message: string;
    };
  };
  /**
   * Facts about the disk in the VM. (writer: hypervisor)
   */
  connection?: {
    /**
     * The grant these facts are about.
     */
    epoch: number;
    /**
     * The hypervisor's boot in which they were seen.
     */
    bootID: string;
    /**
     * Connected: logged in and identity checked. Attached: seen in the running VM. Released: out of the VM, logged out, nothing kept, and never connected again for this epoch; final. Absent before any was seen.
     */
    state?: 'Connected' | 'Attached' | 'Released';
    /**
     * Device name in the VM's definition.
     */
    device?: string;
    /**
     * Size of the disk in the VM, in bytes, decimal.
     */
    sizeBytes?: string;
    /**
     * True where this VM is shown, while it runs, that its disk has grown, so that the server may let it grow.
     */
    growsOnline?: boolean;
    /**
     * What stops the host now. Absent when nothing does.
     */
    problem?: {
      /**
       * A CamelCase word for programs.
       */
      reason: string;
      /**
       * A sentence for people.
       */
      message: string;
    };
  };
}

/**
 * What the administrator wants of this host.
 */
export interface HypervisorSpec {
  /**
   * No new attachments are made here.
   */
  cordoned?: boolean;
  /**
   * Cuts this host off from every volume at the targets, without its consent. For a host which is lost or gone astray. Undone by setting it to false, once the host has rebooted or shows no disk of ours.
   */
  fenced?: boolean;
}

/**
 * What was seen. agent is the host's own block, all else the controller's.
 */
export interface HypervisorStatus {
  /**
   * The generation of the spec which the conditions speak about; -1 before the first look. (writer: controller)
   */
  observedGeneration?: number;
  /**
   * Ready, HostSafe. (writer: controller)
   *
   * @maxItems 16
   */
  conditions?: {
    /**
     * What the condition is about.
     */
    type: string;
    /**
     * True, False or Unknown.
     */
    status: 'True' | 'False' | 'Unknown';
    /**
     * A CamelCase word for programs.
     */
    reason: string;
    /**
     * A sentence for people.
     */
    message: string;
    /**
     * When the status last flipped.
     */
    lastTransitionTime: string;
    /**
     * The generation of the spec it speaks about.
     */
    observedGeneration?: number;
  }[];
  /**
   * The boot of the host which was fenced last; no grant is made until another boot or no disk of ours is reported. (writer: controller)
   */
  fencedBootID?: string;
  /**
   * Facts about the host. (writer: Hypervisor agent)
   */
  agent?: {
    /**
     * The host's present boot.
     */
    bootID: string;
    /**
     * Version of the agent.
     */
    version?: string;
    /**
     * UID of the kube-system namespace the host belongs to.
     */
    clusterID?: string;
    /**
     * The profiles in use.
     *
     * @maxItems 16
     */
    profiles?: {
      /**
       * pool, target, initiator or vmm.
       */
      role: string;
      /**
       * The profile's name.
       */
      name: string;
      /**
       * SHA-256 of its file.
       */
      hash: string;
      /**
       * Version of the tool it drives.
       */
      toolVersion?: string;
    }[];
    /**
     * The iSCSI initiator name it logs in with.
     */
    initiator?: string;
    /**
     * How many disks of ours its VMs hold. Told only while status.fencedBootID is set.
     */
    disks?: number;
    /**
     * The virtual machines on the host.
     *
     * @maxItems 1024
     */
    instances?: {
      /**
       * The VM's name.
       */
      name: string;
      /**
       * The VM's UUID.
       */
      uuid: string;
      /**
       * The VM's number where the hypervisor gives lasting ones (Proxmox).
       */
      vmid?: number;
      /**
       * Running, Paused, Stopped or Unknown.
       */
      state: 'Running' | 'Paused' | 'Stopped' | 'Unknown';
    }[];
    /**
     * VMs without a UUID, by name and number. They take no disks until they are given one.
     *
     * @maxItems 64
     */
    unidentified?: string[];
    /**
     * Things of this cluster on the host which no object accounts for. Reported, never removed by themselves.
     *
     * @maxItems 256
     */
    leftovers?: {
      /**
       * Disk, Session, Secret or Record.
       */
      kind: string;
      /**
       * What it is called.
       */
      name: string;
      /**
       * What is known about it.
       */
      message?: string;
    }[];
    /**
     * What makes the host unfit to act. Empty when nothing does.
     *
     * @maxItems 32
     */
    problems?: {
      /**
       * A CamelCase word for programs.
       */
      reason: string;
      /**
       * A sentence for people.
       */
      message: string;
    }[];
  };
}

/**
 * What the user wants. Nothing of VBS ever writes here.
 */
export interface SnapshotSpec {
  /**
   * The Volume, in the same namespace. It may be created later, and be deleted at any time: until the Snapshot is made it stays.
   */
  volumeRef: {
    /**
     * The Volume's name.
     */
    name: string;
  };
  /**
   * What becomes of the data when this object is deleted. Delete removes it. Retain puts it aside on its server, where it takes its room until an administrator adopts it as a Volume (spec.source.existing there); it is never removed by itself. May change until the data goes.
   */
  deletionPolicy?: 'Delete' | 'Retain';
  /**
   * Free text for people. It is never given to any command.
   */
  description?: string;
}

/**
 * What was seen. The controller writes every field but backend, which is the volume server's.
 */
export interface SnapshotStatus {
  /**
   * The generation of the spec which the conditions speak about; -1 before the first look. (writer: controller)
   */
  observedGeneration?: number;
  /**
   * Ready, Reconciling, Stalled, Created, Healthy. (writer: controller)
   *
   * @maxItems 16
   */
  conditions?: {
    /**
     * What the condition is about.
     */
    type: string;
    /**
     * True, False or Unknown.
     */
    status: 'True' | 'False' | 'Unknown';
    /**
     * A CamelCase word for programs.
     */
    reason: string;
    /**
     * A sentence for people.
     */
    message: string;
    /**
     * When the status last flipped.
     */
    lastTransitionTime: string;
    /**
     * The generation of the spec it speaks about.
     */
    observedGeneration?: number;
  }[];
  /**
   * The snapshot's identity on its server: snap and 16 hex digits, from the SHA-256 of the object's UID. (writer: controller)
   */
  snapshotID?: string;
  /**
   * The VolumeServer which holds the data. (writer: controller)
   */
  server?: string;
  /**
   * The pool on that server. (writer: controller)
   */
  pool?: string;
  /**
   * Size of the data, a quantity. (writer: controller)
   */
  capacity?: string;
  /**
   * Which placement this is. (writer: controller)
   */
  placement?: {
    /**
     * Counts placements of this snapshot, from 1.
     */
    epoch: number;
  };
  /**
   * What the data is copied from, as found when this was placed; pinned there until the copy is made. (writer: controller)
   */
  source?: {
    /**
     * Snapshot or Volume.
     */
    kind: 'Snapshot' | 'Volume';
    /**
     * Its UID.
     */
    uid: string;
    /**
     * Its name, in the same namespace.
     */
    name: string;
    /**
     * Its volumeID or snapshotID.
     */
    id: string;
    /**
     * The VolumeServer which holds it.
     */
    server: string;
    /**
     * The pool on that server.
     */
    pool: string;
    /**
     * How much of it is copied, in bytes, decimal.
     */
    sizeBytes: string;
  };
  /**
   * The objects which are copied from this one, or depend on it. While there is one, the data is not removed. (writer: controller)
   *
   * @maxItems 256
   */
  pins?: {
    /**
     * UID of the object.
     */
    uid: string;
    /**
     * Snapshot or Volume.
     */
    kind: 'Snapshot' | 'Volume';
    /**
     * Its name, in the same namespace.
     */
    name: string;
    /**
     * True while nothing may write to the data, so that nobody is granted access.
     */
    still?: boolean;
    /**
     * The other VolumeServer on which the copy is made: until it is, that one may read the data over iSCSI.
     */
    reader?: {
      /**
       * The VolumeServer.
       */
      server: string;
      /**
       * The initiator name it logs in under, which is this copy's alone.
       */
      initiator: string;
      /**
       * The placement of the copy.
       */
      epoch: number;
    };
  }[];
  /**
   * What the server is to do with the data. Remove and Retain (spec.deletionPolicy) come only after the object was deleted and neither grant nor pin is left, and are final. (writer: controller)
   */
  order?: 'Keep' | 'Retain' | 'Remove';
  /**
   * Facts about the data on the server. (writer: volume server)
   */
  backend?: {
    /**
     * The placement these facts are about.
     */
    placementEpoch: number;
    /**
     * The server's boot in which they were seen.
     */
    bootID: string;
    /**
     * True for ever once the complete backing store was seen. Storage is created only before that.
     */
    everProvisioned?: boolean;
    /**
     * Size in bytes, decimal.
     */
    sizeBytes?: string;
    /**
     * True for ever once the server found no room before it had begun: it never creates the data of this placement, and the controller chooses another.
     */
    refused?: boolean;
    /**
     * Percent of the source copied; absent when nothing is being copied.
     */
    progress?: number;
    /**
     * The target that is open to the servers which copy from it, read-only. Absent when there is none.
     */
    export?: {
      /**
       * Name of the target.
       */
      iqn: string;
      /**
       * Logical unit.
       */
      lun: number;
      /**
       * Where it listens, host:port.
       *
       * @maxItems 16
       */
      portals: string[];
      /**
       * Who is let in.
       *
       * @maxItems 256
       */
      initiators: string[];
    };
    /**
     * When the data was seen to be gone, after the order to remove or retain it; final.
     */
    absentAt?: string;
    /**
     * When the data was seen put aside, as ordered; final.
     */
    retainedAt?: string;
    /**
     * What stops the host now. Absent when nothing does.
     */
    problem?: {
      /**
       * A CamelCase word for programs.
       */
      reason: string;
      /**
       * A sentence for people.
       */
      message: string;
    };
  };
}

/**
 * What the user wants. Nothing of VBS ever writes here.
 */
export interface VolumeSpec {
  /**
   * Size wanted, in bytes, as a quantity (10Gi, 1.5Gi, 500M, 1073741824, 1e9). Rounded up to a whole byte and to the pool's extent; status.capacity shows the result. It may be lowered until the volume is allocated, afterwards only raised. With a source it may be absent (the source's size) and not below the source's size.
   */
  size?: number | string;
  /**
   * Name of a VolumeClass. Absent means the one default class, which is then recorded in status.className.
   */
  className?: string;
  /**
   * Free text for people. It is never given to any command.
   */
  description?: string;
  /**
   * What the new volume begins with, instead of zeroes. A Snapshot or Volume is copied once; afterwards the two have nothing to do with each other. The source may be deleted meanwhile, and goes when the copy is made.
   */
  source?: {
    /**
     * A Snapshot in the same namespace.
     */
    snapshotRef?: {
      /**
       * Its name. It may be applied later.
       */
      name: string;
    };
    /**
     * A Volume in the same namespace, which is attached nowhere while it is copied. For one in use, make a Snapshot and take that.
     */
    volumeRef?: {
      /**
       * Its name. It may be applied later.
       */
      name: string;
    };
    /**
     * Retained data of a deleted Volume or Snapshot (deletionPolicy: Retain, or the trash of a class), which becomes this volume's, under an ID of its own: it is not copied, and nothing is left under its old ID. Or orphaned data of a Volume whose object is lost, which keeps its volumeID. For administrators: it needs the right to adopt on that VolumeServer.
     */
    existing?: {
      /**
       * The VolumeServer which lists the data in status.agent.retained or status.agent.orphans.
       */
      volumeServer: string;
      /**
       * Its ID there, a volumeID or snapshotID. A Volume that adopts retained data gets another one.
       */
      id: string;
    };
  };
  /**
   * Who may use the volume at one time. Exclusive means one virtual machine.
   */
  sharing?: 'Exclusive';
  /**
   * Pins the volume to this VolumeServer, which must match the class. Absent means VBS chooses.
   */
  volumeServer?: string;
  /**
   * What becomes of the data when this object is deleted. Delete removes it, at once or after the time that its class keeps it in the trash. Retain puts it aside on its server, where it takes its room until an administrator adopts it (spec.source.existing); it is never removed by itself. May change until the data goes.
   */
  deletionPolicy?: 'Delete' | 'Retain';
  /**
   * While true, deletion is refused. Set it to false first.
   */
  deletionProtection?: boolean;
}

/**
 * What was seen. The controller writes every field but backend, which is the volume server's.
 */
export interface VolumeStatus {
  /**
   * The generation of the spec which the conditions speak about; -1 before the first look. (writer: controller)
   */
  observedGeneration?: number;
  /**
   * Ready, Reconciling, Stalled, Placed, Provisioned, Resized. (writer: controller)
   *
   * @maxItems 16
   */
  conditions?: {
    /**
     * What the condition is about.
     */
    type: string;
    /**
     * True, False or Unknown.
     */
    status: 'True' | 'False' | 'Unknown';
    /**
     * A CamelCase word for programs.
     */
    reason: string;
    /**
     * A sentence for people.
     */
    message: string;
    /**
     * When the status last flipped.
     */
    lastTransitionTime: string;
    /**
     * The generation of the spec it speaks about.
     */
    observedGeneration?: number;
  }[];
  /**
   * The volume's identity everywhere: backing store, target name, SCSI serial, /dev/disk/by-id/virtio-<volumeID>. vol and 17 hex digits, from the SHA-256 of the object's UID; or that of the orphaned data it took over. (writer: controller)
   */
  volumeID?: string;
  /**
   * The class this volume was placed with. (writer: controller)
   */
  className?: string;
  /**
   * The VolumeServer which holds the data. (writer: controller)
   */
  server?: string;
  /**
   * The pool on that server. (writer: controller)
   */
  pool?: string;
  /**
   * Allocated size as last seen on the server, a quantity. (writer: controller)
   */
  capacity?: string;
  /**
   * Which placement this is. (writer: controller)
   */
  placement?: {
    /**
     * Counts placements of this volume, from 1.
     */
    epoch: number;
    /**
     * What spec.trash of the class said then; it counts when the class is gone before the Volume. Absent when it said nothing.
     */
    trash?: {
      /**
       * How long the data is kept after the deletion, in seconds.
       */
      ttlSeconds: number;
    };
  };
  /**
   * What the data is copied from, as found when this was placed, and pinned there until the copy is made; or the retained data that is adopted. (writer: controller)
   */
  source?: {
    /**
     * Snapshot or Volume; Retained: data of a deleted one, which is adopted and not copied; Orphaned: data of a Volume whose object is lost, which is taken over under its volumeID.
     */
    kind: 'Snapshot' | 'Volume' | 'Retained' | 'Orphaned';
    /**
     * Its UID; none of what is retained.
     */
    uid?: string;
    /**
     * Its name, in the same namespace; of what is retained, namespace/name of its last owner.
     */
    name: string;
    /**
     * Its volumeID or snapshotID.
     */
    id: string;
    /**
     * The VolumeServer which holds it.
     */
    server: string;
    /**
     * The pool on that server.
     */
    pool: string;
    /**
     * How much of it is copied, in bytes, decimal.
     */
    sizeBytes: string;
  };
  /**
   * The objects which are copied from this one, or depend on it. While there is one, the data is not removed. (writer: controller)
   *
   * @maxItems 256
   */
  pins?: {
    /**
     * UID of the object.
     */
    uid: string;
    /**
     * Snapshot or Volume.
     */
    kind: 'Snapshot' | 'Volume';
    /**
     * Its name, in the same namespace.
     */
    name: string;
    /**
     * True while nothing may write to the data, so that nobody is granted access.
     */
    still?: boolean;
    /**
     * The other VolumeServer on which the copy is made: until it is, that one may read the data over iSCSI.
     */
    reader?: {
      /**
       * The VolumeServer.
       */
      server: string;
      /**
       * The initiator name it logs in under, which is this copy's alone.
       */
      initiator: string;
      /**
       * The placement of the copy.
       */
      epoch: number;
    };
  }[];
  /**
   * What the server is to do with the data. Remove and Retain (spec.deletionPolicy) come only after the object was deleted and neither grant nor pin is left, and are final. (writer: controller)
   */
  order?: 'Keep' | 'Retain' | 'Remove';
  /**
   * With order Retain: the data is put into the trash, for this time. Given once, with the order, and final. Absent: it is retained without end. (writer: controller)
   */
  trash?: {
    /**
     * How long the data is kept after the deletion, in seconds.
     */
    ttlSeconds: number;
  };
  /**
   * The hypervisor and instance which hold the volume, hypervisor/instance, for people. (writer: controller)
   */
  attachedTo?: string;
  /**
   * Who may log in to the volume's target. (writer: controller)
   */
  grants?: {
    /**
     * Counts every change of the list.
     */
    revision: number;
    /**
     * The hypervisors with access.
     *
     * @maxItems 64
     */
    items?: {
      /**
       * The revision at which the grant was made; never reused.
       */
      epoch: number;
      /**
       * The Hypervisor object's name.
       */
      hypervisor: string;
      /**
       * Its iSCSI initiator name.
       */
      initiator: string;
      /**
       * What the hypervisor may do.
       */
      mode: 'ReadWrite' | 'ReadOnly';
      /**
       * UIDs of the Attachments served by the grant.
       *
       * @maxItems 64
       */
      attachments: string[];
      /**
       * UIDs of Attachments which it served before their objects were lost. While it has those only, it serves nobody who could give it up, and stands.
       *
       * @maxItems 64
       */
      former?: string[];
      /**
       * Granted, or Fencing: to be cut off without the hypervisor's consent.
       */
      state: 'Granted' | 'Fencing';
    }[];
  };
  /**
   * Facts about the data on the server. (writer: volume server)
   */
  backend?: {
    /**
     * The placement these facts are about.
     */
    placementEpoch: number;
    /**
     * The server's boot in which they were seen.
     */
    bootID: string;
    /**
     * True for ever once the complete backing store was seen. Storage is created only before that.
     */
    everProvisioned?: boolean;
    /**
     * Size in bytes, decimal.
     */
    sizeBytes?: string;
    /**
     * Highest revision of the grants which the server applied, as of its last write.
     */
    appliedRevision?: number;
    /**
     * Grants which stand on the server from before the object was lost, until the controller has taken them up.
     *
     * @maxItems 64
     */
    former?: {
      /**
       * Its number.
       */
      epoch: number;
      /**
       * The Hypervisor object's name.
       */
      hypervisor: string;
      /**
       * Its iSCSI initiator name.
       */
      initiator: string;
      /**
       * What the hypervisor may do.
       */
      mode: 'ReadWrite' | 'ReadOnly';
      /**
       * UIDs of the Attachments which it served.
       *
       * @maxItems 64
       */
      attachments: string[];
    }[];
    /**
     * True for ever once the server found no room before it had begun: it never creates the data of this placement, and the controller chooses another.
     */
    refused?: boolean;
    /**
     * Percent of the source copied; absent when nothing is being copied.
     */
    progress?: number;
    /**
     * The target that is open to the servers which copy from it, read-only. Absent when there is none.
     */
    export?: {
      /**
       * Name of the target.
       */
      iqn: string;
      /**
       * Logical unit.
       */
      lun: number;
      /**
       * Where it listens, host:port.
       *
       * @maxItems 16
       */
      portals: string[];
      /**
       * Who is let in.
       *
       * @maxItems 256
       */
      initiators: string[];
    };
    /**
     * When the data was seen to be gone, after the order to remove or retain it; final.
     */
    absentAt?: string;
    /**
     * When the data was seen put aside, as ordered; final.
     */
    retainedAt?: string;
    /**
     * What stops the host now. Absent when nothing does.
     */
    problem?: {
      /**
       * A CamelCase word for programs.
       */
      reason: string;
      /**
       * A sentence for people.
       */
      message: string;
    };
    /**
     * Why the data does not grow to the size asked for; as it is, it is in order. Absent when it grows, need not, or must not while it is in use.
     */
    growth?: {
      /**
       * A CamelCase word for programs.
       */
      reason: string;
      /**
       * A sentence for people.
       */
      message: string;
    };
  };
}

/**
 * The class. Volumes already placed keep what they were placed with.
 */
export interface VolumeClassSpec {
  /**
   * Volumes without className take the class marked so. Two such classes stop the placement of those volumes.
   */
  default?: boolean;
  /**
   * Free text for people.
   */
  description?: string;
  /**
   * Which pools of which servers may hold volumes of this class. What is absent matches everything.
   */
  poolSelector: {
    /**
     * The pool's name.
     */
    name?: string;
    /**
     * The profile which drives the pool (file).
     */
    profile?: string;
  };
  /**
   * Data of a deleted Volume of this class (deletionPolicy Delete) is kept on its server for a time in which an administrator can have it back (Volume spec.source.existing); it takes its room until then. Absent means that it is removed at once. What counts is what stands here when the removal is ordered; of a class that is gone, what stood here when the Volume was placed. Snapshots are not kept so. May change at any time, and changes nothing for what is in the trash already.
   */
  trash?: {
    /**
     * How long, in seconds, up to a year. Only time counts in which the server's agent saw the data and told of it: a server that is off, or cannot reach the API server, keeps it longer.
     */
    ttlSeconds: number;
  };
}

/**
 * What the administrator wants of this host.
 */
export interface VolumeServerSpec {
  /**
   * No new volumes are placed here.
   */
  cordoned?: boolean;
  /**
   * The host and all data on it are gone for good: what it held may be deleted without its word. Refused while its agent is heard. A host that comes back nevertheless lists what it finds as leftovers.
   */
  lost?: boolean;
}

/**
 * What was seen. agent is the host's own block, all else the controller's.
 */
export interface VolumeServerStatus {
  /**
   * The generation of the spec which the conditions speak about; -1 before the first look. (writer: controller)
   */
  observedGeneration?: number;
  /**
   * Ready, HostSafe. (writer: controller)
   *
   * @maxItems 16
   */
  conditions?: {
    /**
     * What the condition is about.
     */
    type: string;
    /**
     * True, False or Unknown.
     */
    status: 'True' | 'False' | 'Unknown';
    /**
     * A CamelCase word for programs.
     */
    reason: string;
    /**
     * A sentence for people.
     */
    message: string;
    /**
     * When the status last flipped.
     */
    lastTransitionTime: string;
    /**
     * The generation of the spec it speaks about.
     */
    observedGeneration?: number;
  }[];
  /**
   * Facts about the host. (writer: VolumeServer agent)
   */
  agent?: {
    /**
     * The host's present boot.
     */
    bootID: string;
    /**
     * Version of the agent.
     */
    version?: string;
    /**
     * UID of the kube-system namespace the host belongs to.
     */
    clusterID?: string;
    /**
     * The profiles in use.
     *
     * @maxItems 16
     */
    profiles?: {
      /**
       * pool, target, initiator or vmm.
       */
      role: string;
      /**
       * The profile's name.
       */
      name: string;
      /**
       * SHA-256 of its file.
       */
      hash: string;
      /**
       * Version of the tool it drives.
       */
      toolVersion?: string;
    }[];
    /**
     * Addresses of the target, address:port.
     *
     * @maxItems 16
     */
    portals?: string[];
    /**
     * The pools and their space.
     *
     * @maxItems 64
     */
    pools?: {
      /**
       * The pool's name.
       */
      name: string;
      /**
       * The profile which drives it.
       */
      profile: string;
      /**
       * Bytes, decimal.
       */
      totalBytes?: string;
      /**
       * Bytes, decimal.
       */
      freeBytes?: string;
      /**
       * Bytes, decimal.
       */
      extentBytes?: string;
      /**
       * What the pool is able to do: CopyOnWrite (a copy is made in a moment and shares what is unchanged), SnapshotAttached (also of a volume in use), SnapshotsOutlive (a copy stays whole when its source goes), RemoteCopy (of what is on another server), Readable (others may copy from it), GrowInUse (the data of a volume in use grows), GrowOnline (and its target shows it), SnapshotsHoldSize (a volume with snapshots does not grow), Trash (data of a deleted Volume is kept for a time).
       *
       * @maxItems 16
       */
      can?: (
        | 'CopyOnWrite'
        | 'SnapshotAttached'
        | 'SnapshotsOutlive'
        | 'RemoteCopy'
        | 'Readable'
        | 'GrowInUse'
        | 'GrowOnline'
        | 'SnapshotsHoldSize'
        | 'Trash'
      )[];
      /**
       * Why the pool cannot be used. Absent when it can.
       */
      problem?: {
        /**
         * A CamelCase word for programs.
         */
        reason: string;
        /**
         * A sentence for people.
         */
        message: string;
      };
    }[];
    /**
     * volumeIDs of deleted volumes whose space is being freed; freeing tells more of them.
     *
     * @maxItems 1024
     */
    wiping?: string[];
    /**
     * Data of deleted Volumes and Snapshots whose space is not free yet. It is wiped piece by piece, with a rest after each, and goes on where it was when the agent or its host starts anew.
     *
     * @maxItems 256
     */
    freeing?: {
      /**
       * Its volumeID or snapshotID.
       */
      id: string;
      /**
       * The pool which gets the space back.
       */
      pool: string;
      /**
       * Bytes, decimal.
       */
      sizeBytes: string;
      /**
       * How much of it is still to be wiped, in steps of a twentieth. Absent where the pool frees it at once.
       */
      leftBytes?: string;
    }[];
    /**
     * Things of this cluster on the host which no object accounts for. Reported, never removed by themselves.
     *
     * @maxItems 256
     */
    leftovers?: {
      /**
       * Backing, Export or Record.
       */
      kind: string;
      /**
       * What it is called.
       */
      name: string;
      /**
       * What is known about it.
       */
      message?: string;
    }[];
    /**
     * Data of deleted Volumes and Snapshots with deletionPolicy Retain, and of Volumes in the trash, by ID. It takes its room and is exported to nobody. It comes back in a Volume that adopts it (spec.source.existing). What is in the trash is removed when its time is over, all else only by adopting it and deleting that Volume.
     *
     * @maxItems 512
     */
    retained?: {
      /**
       * Its volumeID or snapshotID, for spec.source.existing.id.
       */
      id: string;
      /**
       * What it was of.
       */
      kind: 'Volume' | 'Snapshot';
      /**
       * The pool which holds it.
       */
      pool: string;
      /**
       * Namespace of its last owner. Absent when its tags tell none.
       */
      namespace?: string;
      /**
       * Name of its last owner. Absent when its tags tell none.
       */
      name?: string;
      /**
       * Bytes, decimal.
       */
      sizeBytes: string;
      /**
       * It is in the trash and will be removed. Absent when it is retained without end.
       */
      trash?: {
        /**
         * How long it is kept, in seconds.
         */
        ttlSeconds: number;
        /**
         * When that time will be over, as the host estimates it by its own clock, for people: what counts is the time that the host has seen pass.
         */
        removedAfter: string;
      };
    }[];
    /**
     * How many more there are than the list of retained data holds. Absent when it holds all.
     */
    retainedOmitted?: number;
    /**
     * Complete data of Volumes and Snapshots that no object accounts for, by ID, as after the loss of the API server's store. It stays as it is, and open to whom it was. A Volume with spec.source.existing takes over a volumeID listed here.
     *
     * @maxItems 512
     */
    orphans?: {
      /**
       * Its volumeID or snapshotID, for spec.source.existing.id.
       */
      id: string;
      /**
       * What it was of.
       */
      kind: 'Volume' | 'Snapshot';
      /**
       * The pool which holds it.
       */
      pool: string;
      /**
       * Namespace of its last owner. Absent when its tags tell none.
       */
      namespace?: string;
      /**
       * Name of its last owner. Absent when its tags tell none.
       */
      name?: string;
      /**
       * Bytes, decimal.
       */
      sizeBytes: string;
    }[];
    /**
     * How many more there are than the list of orphans holds. Absent when it holds all.
     */
    orphansOmitted?: number;
    /**
     * What makes the host unfit to act. Empty when nothing does.
     *
     * @maxItems 32
     */
    problems?: {
      /**
       * A CamelCase word for programs.
       */
      reason: string;
      /**
       * A sentence for people.
       */
      message: string;
    }[];
  };
}
