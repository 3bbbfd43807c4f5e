-- Health of a VolumeServer or Hypervisor. They have no condition Stalled: somebody has to look after a host that is silent or unsafe.
local ready = { status = "Unknown", reason = "NotReported", message = "" }
for _, one in ipairs((obj.status or {}).conditions or {}) do
  if one.type == "Ready" then
    ready = one
  end
end

local function health(status)
  return { status = status, message = ready.reason .. ": " .. ready.message }
end

local spec = obj.spec or {}
if obj.metadata.deletionTimestamp ~= nil then
  return health("Progressing")
end
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "not looked at yet" }
end
if ready.status ~= "True" then
  local isNew = ready.reason == "WaitingForHeartbeat" or ready.reason == "NotReported"
  return health(isNew and "Progressing" or "Degraded")
end
if spec.fenced then
  return { status = "Suspended", message = "fenced" }
end
if spec.cordoned then
  return { status = "Suspended", message = "cordoned" }
end
return health("Healthy")
