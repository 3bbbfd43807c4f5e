-- Health of a VolumeClass, which has no status: it is what it says.
return { status = "Healthy", message = "" }
