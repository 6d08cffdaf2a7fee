{{/*
Refuse host paths that no job may see. The schema has seen to it that paths are absolute and
normalised; what it cannot say well is said here.

Trees: everything below is refused. Whoever reads them reads credentials (kubelet, k3s, home
directories of root), the host's processes, or other pods' volumes and logs.
Roots: only the directory itself is refused, because a refused tree lies below it; so is a user's
home directory, which holds keys.
*/}}
{{- define "pi-edge-spark.validatePath" -}}
{{- $trees := list "/bin" "/boot" "/dev" "/etc" "/lib" "/lib32" "/lib64" "/proc" "/root" "/run" "/sbin" "/snap" "/sys" "/usr"
      "/opt/cni" "/opt/local-path-provisioner" "/var/backups" "/var/cache" "/var/lib/cni" "/var/lib/containerd" "/var/lib/containers"
      "/var/lib/docker" "/var/lib/dpkg" "/var/lib/etcd" "/var/lib/kubelet" "/var/lib/kube-proxy" "/var/lib/private" "/var/lib/rancher"
      "/var/lib/systemd" "/var/log/containers" "/var/log/journal" "/var/log/pods" "/var/run" "/var/spool" -}}
{{- $roots := list "/home" "/opt" "/var" "/var/lib" "/var/log" -}}
{{- $path := .path -}}
{{- if or (has $path $roots) (regexMatch "^/home/[^/]+$" $path) -}}
{{- fail (printf "%s: %s holds more than sensor data; name a directory of its own, such as /var/lib/pi-edge-spark/sensors" .what $path) -}}
{{- end -}}
{{- range $trees -}}
{{- if hasPrefix (printf "%s/" .) (printf "%s/" $path) -}}
{{- fail (printf "%s: %s belongs to the system (%s); name a directory of its own, such as /var/lib/pi-edge-spark/sensors" $.what $path .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "pi-edge-spark.validate" -}}
{{- $state := .Values.edge.statePath -}}
{{- include "pi-edge-spark.validatePath" (dict "what" "edge.statePath" "path" $state) -}}
{{- $names := list -}}
{{- range .Values.sources -}}
{{- $what := printf "sources: %s" .name -}}
{{- include "pi-edge-spark.validatePath" (dict "what" $what "path" .path) -}}
{{- if has .name $names -}}
{{- fail (printf "%s: there are two sources of this name" $what) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- if or (hasPrefix (printf "%s/" .path) (printf "%s/" $state)) (hasPrefix (printf "%s/" $state) (printf "%s/" .path)) -}}
{{- fail (printf "%s: %s and edge.statePath (%s) must not lie in one another" $what .path $state) -}}
{{- end -}}
{{- end -}}
{{- end -}}
