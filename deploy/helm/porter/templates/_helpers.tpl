{{- define "porter.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 45 | trimSuffix "-" }}
{{- else if contains "porter" .Release.Name -}}
{{ .Release.Name | trunc 45 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-porter" .Release.Name | trunc 45 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{/* Labels that find the Pods of one component: call it with `root` and `component`. */}}
{{- define "porter.selector" -}}
app.kubernetes.io/name: porter
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "porter.labels" -}}
{{ include "porter.selector" . }}
app.kubernetes.io/part-of: porter
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "porter.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* The name of the bundled server's objects, as the sub-chart gives it. */}}
{{- define "porter.redisName" -}}
{{ printf "%s-redis" .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end -}}

{{- define "porter.signingSecret" -}}
{{ .Values.signing.existingSecret | default (printf "%s-signing-key" (include "porter.fullname" .)) }}
{{- end -}}

{{/*
The environment that tells a program its server. No password stands in an argument, where every process on the node
could read it. Call it with `root` and `component`.
*/}}
{{- define "porter.redisEnvironment" -}}
{{- $values := .root.Values -}}
{{- $external := $values.externalRedis -}}
{{- if $values.redis.enabled -}}
- name: PORTER_REDIS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ dig "auth" "existingSecret" "" $values.redis | default (include "porter.redisName" .root) }}
      key: {{ .component }}-password
- name: PORTER_REDIS_URL
  value: redis://porter-{{ .component }}:$(PORTER_REDIS_PASSWORD)@{{ include "porter.redisName" .root }}:6379/0
{{- else if $external.existingSecret -}}
- name: PORTER_REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ $external.existingSecret }}
      key: {{ get $external (printf "%sKey" .component) }}
{{- else -}}
- name: PORTER_REDIS_URL
  value: {{ $external.url | quote }}
{{- end }}
{{- if and (not $values.redis.enabled) $external.tls.caSecret }}
# OpenSSL's own variable: the authority that rediss:// trusts.
- name: SSL_CERT_FILE
  value: /etc/porter/redis-ca/{{ $external.tls.caKey }}
{{- end }}
{{- end -}}

{{/*
A rule of a NetworkPolicy that lets a Pod reach the journal. The ports are those of the URL; where that stands in a
Secret, which the chart does not read, they are the servers' and the sentinels' usual ones.
*/}}
{{- define "porter.journalEgress" -}}
{{- $url := .Values.externalRedis.url -}}
{{- $ports := list "6379" -}}
{{- if .Values.redis.enabled -}}
{{- else if not $url -}}
{{- $ports = list "6379" "26379" -}}
{{- else -}}
{{- $sentinels := contains "+sentinel://" $url -}}
{{- if not $sentinels -}}
{{- $ports = list -}}
{{- end -}}
{{- range regexReplaceAll "^[^/]*//|[/?].*$" $url "" | splitList "," -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default (ternary "26379" "6379" $sentinels)) -}}
{{- end -}}
{{- end -}}
# The journal.
- ports:
    {{- range uniq $ports }}
    - protocol: TCP
      port: {{ . }}
    {{- end }}
  {{- if .Values.redis.enabled }}
  to:
    - podSelector:
        matchLabels:
          app.kubernetes.io/name: redis
          app.kubernetes.io/instance: {{ .Release.Name }}
  {{- end }}
{{- end -}}

{{- define "porter.caMount" -}}
{{- if and (not .Values.redis.enabled) .Values.externalRedis.tls.caSecret }}
- name: redis-ca
  mountPath: /etc/porter/redis-ca
  readOnly: true
{{- end }}
{{- end -}}

{{- define "porter.caVolume" -}}
{{- if and (not .Values.redis.enabled) .Values.externalRedis.tls.caSecret }}
- name: redis-ca
  secret:
    secretName: {{ .Values.externalRedis.tls.caSecret }}
    items:
      - key: {{ .Values.externalRedis.tls.caKey }}
        path: {{ .Values.externalRedis.tls.caKey }}
{{- end }}
{{- end -}}

{{- define "porter.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "porter.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Values that contradict each other, which no schema of single keys can see. */}}
{{- define "porter.check" -}}
{{- $external := .Values.externalRedis -}}
{{- $named := or $external.url $external.existingSecret -}}
{{- if and .Values.redis.enabled $named -}}
{{- fail "redis.enabled is true and externalRedis names another server: set redis.enabled=false, or leave externalRedis.url and externalRedis.existingSecret empty" -}}
{{- end -}}
{{- if and (not .Values.redis.enabled) (not $named) -}}
{{- fail "redis.enabled is false and there is no other server: set externalRedis.url or externalRedis.existingSecret, or redis.enabled=true" -}}
{{- end -}}
{{- if and $external.url $external.existingSecret -}}
{{- fail "externalRedis.url and externalRedis.existingSecret are both set: the Secret holds the whole URL, leave externalRedis.url empty" -}}
{{- end -}}
{{- if and $external.tls.caSecret .Values.redis.enabled -}}
{{- fail "externalRedis.tls.caSecret is set, but redis.enabled is true: the bundled server speaks no TLS; unset one of them" -}}
{{- end -}}
{{- if and $external.tls.caSecret $external.url (not (hasPrefix "rediss" $external.url)) -}}
{{- fail "externalRedis.tls.caSecret is set, but externalRedis.url does not begin with rediss:// or rediss+sentinel://: it would not be used" -}}
{{- end -}}
{{- if and .Values.speaker.localAddress (gt (int .Values.speaker.replicas) 1) -}}
{{- fail "speaker.localAddress is set, and speaker.replicas is more than 1: an address belongs to a single speaker; set speaker.replicas=1, or leave speaker.localAddress empty" -}}
{{- end -}}
{{- if and .Values.console.allowedFrom (ne .Values.console.listen "pod") -}}
{{- fail "console.allowedFrom is set, but console.listen is loopback: nobody but kubectl port-forward reaches it; set console.listen=pod, or leave console.allowedFrom empty" -}}
{{- end -}}
{{- if eq (int .Values.console.port) (int .Values.console.healthPort) -}}
{{- fail "console.port and console.healthPort are the same: choose two ports" -}}
{{- end -}}
{{- if and .Values.monitoring.podMonitor.enabled .Values.monitoring.serviceMonitor.enabled -}}
{{- fail "monitoring.podMonitor.enabled and monitoring.serviceMonitor.enabled are both true: every metric would be scraped twice; choose one" -}}
{{- end -}}
{{- range $key := list "podMonitor" "serviceMonitor" -}}
{{- if and (get $.Values.monitoring $key).enabled $.Values.networkPolicy.enabled (not $.Values.networkPolicy.clientNamespaces) -}}
{{- fail (printf "monitoring.%s.enabled is true, but networkPolicy.clientNamespaces is empty: no Prometheus could reach the controllers; name its namespace there, or set networkPolicy.enabled=false" $key) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.console.allowedFrom (not .Values.networkPolicy.enabled) -}}
{{- fail "console.allowedFrom is set, but networkPolicy.enabled is false: nothing would keep others out; set networkPolicy.enabled=true, or leave console.allowedFrom empty" -}}
{{- end -}}
{{- if and .Values.signing.existingSecret (not .Values.signing.enabled) -}}
{{- fail "signing.existingSecret is set, but signing.enabled is false: nothing would be signed; set signing.enabled=true, or leave signing.existingSecret empty" -}}
{{- end -}}
{{- range $key := list "controllerKey" "speakerKey" "readerKey" -}}
{{- if and (not $external.existingSecret) (ne (get $external $key) "url") -}}
{{- fail (printf "externalRedis.%s names a key, but externalRedis.existingSecret names no Secret: set the one, or leave out the other" $key) -}}
{{- end -}}
{{- end -}}
{{- include "porter.checkNames" . -}}
{{- include "porter.checkSizes" . -}}
{{- include "porter.checkVariables" . -}}
{{- end -}}

{{/* Names that Services can have (RFC 1035), and labels that selectors go by. */}}
{{- define "porter.checkNames" -}}
{{- $label := "^[a-z]([-a-z0-9]*[a-z0-9])?$" -}}
{{- if not (and (regexMatch $label (include "porter.fullname" .)) (or (not .Values.redis.enabled) (regexMatch $label (include "porter.redisName" .)))) -}}
{{- fail (printf "no Service can have a name that begins with the release's, %s: install it under another one, of small letters, digits and dashes, a letter first%s" .Release.Name (ternary "" ", or set fullnameOverride" .Values.redis.enabled)) -}}
{{- end -}}
{{- $own := include "porter.labels" (dict "root" . "component" "") | fromYaml -}}
{{- range $component := list "controller" "speaker" "agent" "console" -}}
{{- range $key, $_ := (get $.Values $component).podLabels -}}
{{- if hasKey $own $key -}}
{{- fail (printf "%s.podLabels sets %s, which the chart sets itself: leave it out" $component $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The bytes of a size as Kubernetes writes it, as Redis does, or as a number; nothing for what is not understood. */}}
{{- define "porter.bytes" -}}
{{- if not (kindIs "string" .) -}}
{{- float64 . -}}
{{- else -}}
{{- $units := dict "" 1 "b" 1 "k" 1e3 "K" 1e3 "Ki" 1024 "kb" 1024 "m" 1e6 "M" 1e6 "Mi" 1048576 "mb" 1048576 "g" 1e9 "G" 1e9 "Gi" 1073741824 "gb" 1073741824 "T" 1e12 "Ti" 1099511627776 "P" 1e15 "Pi" 1125899906842624 "E" 1e18 "Ei" 1152921504606846976 -}}
{{- $number := regexFind "^[0-9]+([.][0-9]+)?" . -}}
{{- $unit := trimPrefix $number . -}}
{{- if and $number (hasKey $units $unit) -}}
{{- mulf (float64 $number) (float64 (get $units $unit)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whether the first of two sizes is at least the second; 0 is no bound, and what is not understood is not judged. */}}
{{- define "porter.atLeast" -}}
{{- $one := include "porter.bytes" (index . 0) -}}
{{- $other := include "porter.bytes" (index . 1) -}}
{{- if and $one $other (gt (float64 $one) 0.0) (gt (float64 $other) 0.0) (ge (float64 $one) (float64 $other)) -}}true{{- end -}}
{{- end -}}

{{/* What must fit into what. */}}
{{- define "porter.checkSizes" -}}
{{- $journal := .Values.journal -}}
{{- $archive := .Values.archive -}}
{{- if include "porter.atLeast" (list $journal.trimAbove $journal.max) -}}
{{- fail (printf "journal.trimAbove is %v, and journal.max is %v: the journal would be full before it is trimmed; set journal.trimAbove below journal.max" $journal.trimAbove $journal.max) -}}
{{- end -}}
{{- if and $archive.persistence.enabled (include "porter.atLeast" (list $archive.max $archive.persistence.size)) -}}
{{- fail (printf "archive.max is %v, and archive.persistence.size is %v: the claim would be full before the oldest segments go; set archive.max below archive.persistence.size" $archive.max $archive.persistence.size) -}}
{{- end -}}
{{- if .Values.redis.enabled -}}
{{- $redis := .Values.redis -}}
{{- $places := dict "redis.maxmemory" $redis.maxmemory "redis.resources.limits.memory" (dig "resources" "limits" "memory" "" $redis) -}}
{{- if dig "persistence" "enabled" true $redis -}}
{{- $_ := set $places "redis.persistence.size" (dig "persistence" "size" "" $redis) -}}
{{- end -}}
{{- $limit := dig "resources" "limits" "memory" "" $redis -}}
{{- if and $limit $redis.maxmemory (include "porter.atLeast" (list $redis.maxmemory $limit)) -}}
{{- fail (printf "redis.maxmemory is %v, and redis.resources.limits.memory is %v: the server would be killed before it is full; set redis.maxmemory below the limit" $redis.maxmemory $limit) -}}
{{- end -}}
{{- range $key, $size := $places -}}
{{- if and $size (include "porter.atLeast" (list $journal.max $size)) -}}
{{- fail (printf "%s is %v, and journal.max is %v: the server would be full before the journal is; set journal.max below %s" $key $size $journal.max $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What the chart sets itself cannot be set beside it: a Pod with two variables of one name takes either. */}}
{{- define "porter.checkVariables" -}}
{{- $own := list "POD_NAME" "POD_NAMESPACE" "NODE_NAME" "HOST_IP" "PORTER_REDIS_URL" "PORTER_REDIS_PASSWORD" "PORTER_SIGNING_KEY" -}}
{{- if .Values.externalRedis.tls.caSecret -}}
{{- $own = append $own "SSL_CERT_FILE" -}}
{{- end -}}
{{- range $program := list "controller" "speaker" "agent" "console" -}}
{{- range $variable := (get $.Values $program).extraEnv -}}
{{- if has $variable.name $own -}}
{{- fail (printf "%s.extraEnv sets %s, which the chart sets itself: leave it out" $program $variable.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
The containers that announce: a speaker or an agent, and the engine beside it. Call it with `root`, `program` and the
`values` of the workload. An agent is a speaker to Redis: it has that user's rights.
*/}}
{{- define "porter.announcers" -}}
{{- $root := .root -}}
{{- $values := .values -}}
- name: {{ .program }}
  image: {{ include "porter.image" $root }}
  imagePullPolicy: {{ $root.Values.image.pullPolicy }}
  args:
    - {{ .program }}
    {{- if eq .program "agent" }}
    - --node-name=$(NODE_NAME)
    {{- else }}
    - --name=$(POD_NAME)
    {{- end }}
    - --namespace=$(POD_NAMESPACE)
    - --cluster={{ $root.Values.global.cluster }}
    - --state-dir=/var/lib/porter
    - --local-address={{ get $values "localAddress" | default "$(HOST_IP)" }}
    {{- if $root.Values.speaker.passwordSecrets }}
    - --secrets-dir=/etc/porter/passwords
    {{- end }}
    - --log-level={{ $root.Values.logLevel }}
  env:
    - name: POD_NAME
      valueFrom:
        fieldRef:
          fieldPath: metadata.name
    - name: POD_NAMESPACE
      valueFrom:
        fieldRef:
          fieldPath: metadata.namespace
    - name: NODE_NAME
      valueFrom:
        fieldRef:
          fieldPath: spec.nodeName
    - name: HOST_IP
      valueFrom:
        fieldRef:
          fieldPath: status.hostIP
    {{- include "porter.redisEnvironment" (dict "root" $root "component" "speaker") | nindent 4 }}
    {{- with $values.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  # A rolling update goes on when this one announces everything. There is no port to ask.
  readinessProbe:
    exec:
      command: [test, -e, /var/lib/porter/ready]
    periodSeconds: 2
    failureThreshold: 1
  securityContext:
    {{- include "porter.containerSecurity" $root | nindent 4 }}
  {{- with $values.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    - name: state
      mountPath: /var/lib/porter
    {{- range $root.Values.speaker.passwordSecrets }}
    - name: password-{{ . | sha256sum | trunc 12 }}
      mountPath: /etc/porter/passwords/{{ . }}
      readOnly: true
    {{- end }}
    {{- include "porter.caMount" $root | nindent 4 }}
# A container of its own, so that sessions and routes outlive a speaker that restarts.
- name: exabgp
  image: {{ include "porter.image" $root }}
  imagePullPolicy: {{ $root.Values.image.pullPolicy }}
  args: [exabgp, --state-dir=/var/lib/porter]
  securityContext:
    {{- include "porter.containerSecurity" $root | nindent 4 }}
  {{- with $values.exabgpResources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    - name: state
      mountPath: /var/lib/porter
{{- if $root.Values.bfd.enabled }}
# BIRD, for BFD alone. A process of another user than root is given no capability, whatever is added here; this one is
# root without any right but these, and reaches the files of the others by their group.
- name: bfd
  image: {{ include "porter.image" $root }}
  imagePullPolicy: {{ $root.Values.image.pullPolicy }}
  args: [bfd, --state-dir=/var/lib/porter]
  securityContext:
    runAsNonRoot: false
    runAsUser: 0
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
      {{- with $root.Values.bfd.capabilities }}
      add:
        {{- toYaml . | nindent 8 }}
      {{- end }}
  {{- with $root.Values.bfd.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    - name: state
      mountPath: /var/lib/porter
{{- end }}
{{- end -}}

{{- define "porter.announcerVolumes" -}}
{{- range .Values.speaker.passwordSecrets }}
- name: password-{{ . | sha256sum | trunc 12 }}
  secret:
    secretName: {{ . }}
    # A speaker whose Secret is missing runs, and the peer says what is missing.
    optional: true
    items:
      - key: password
        path: password
{{- end }}
{{- include "porter.caVolume" . | nindent 0 }}
{{- end -}}

{{/* What is there for the test alone: made before it, and gone after it. */}}
{{- define "porter.testHook" -}}
helm.sh/hook: test
helm.sh/hook-weight: "-1"
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
