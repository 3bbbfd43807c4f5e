-- Health of a Volume, Snapshot or Attachment.
local function condition(type)
  for _, one in ipairs((obj.status or {}).conditions or {}) do
    if one.type == type then
      return one
    end
  end
  return { status = "Unknown", reason = "Unknown", message = "" }
end

-- As wanted so far, and waiting for a person or for its turn: nothing is wrong, and it goes on by itself when the time comes.
local waits = {
  InstanceNotRunning = true,
  VolumeInUse = true,
  WaitingForDetach = true,
  HypervisorCordoned = true,
  HypervisorFenced = true,
}

local function health(status, said)
  return { status = status, message = said.reason .. ": " .. said.message }
end

local ready = condition("Ready")
local reconciling = condition("Reconciling")
if obj.metadata.deletionTimestamp ~= nil then
  return health("Progressing", ready)
end
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "not looked at yet" }
end
if condition("Stalled").status == "True" then
  return health("Degraded", ready)
end
if reconciling.status == "True" then
  return health(waits[reconciling.reason] and "Suspended" or "Progressing", reconciling)
end
return health(ready.status == "True" and "Healthy" or "Progressing", ready)
