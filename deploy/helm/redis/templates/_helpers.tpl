{{- define "redis.fullname" -}}
{{ printf "%s-redis" .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end -}}

{{- define "redis.selector" -}}
app.kubernetes.io/name: redis
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "redis.labels" -}}
{{ include "redis.selector" . }}
app.kubernetes.io/part-of: porter
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "redis.secretName" -}}
{{ .Values.auth.existingSecret | default (include "redis.fullname" .) }}
{{- end -}}

{{- define "redis.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "redis.cluster" -}}
{{ dig "cluster" "porter" (.Values.global | default dict) }}
{{- end -}}

{{/*
The users of the server, each with what Porter's code sends and nothing else: a test runs every command of the code as
these users, and fails on one that is missing and on one that is never used.
- Anybody may ping, for the probes.
- The controller writes the journal and reads the speakers' streams; scripts may only do what their user may.
- A speaker reads the journal, and writes the speakers' streams.
- A reader is a person's command line, or a console.
- An operator is who brings an export back into an empty server (`porter import`).
Call it with `cluster`, and the SHA-256 digest of each of their passwords.
*/}}
{{- define "redis.users" -}}
{{- $tag := printf "{porter:%s}" .cluster -}}
user default on nopass resetkeys resetchannels -@all +ping
user porter-controller on #{{ .controller }} resetkeys resetchannels %RW~{{ $tag }}:j %RW~{{ $tag }}:j:h %RW~{{ $tag }}:j:r %R~{{ $tag }}:s:* %R~{{ $tag }}:speakers -@all +client|setname +info +config|get +evalsha +eval +evalsha_ro +eval_ro +hmget +hgetall +hset +hdel +del +xadd +xlen +xrange +xrevrange +xread +xtrim +memory|usage +smembers
user porter-speaker on #{{ .speaker }} resetkeys resetchannels %R~{{ $tag }}:j %R~{{ $tag }}:j:h %RW~{{ $tag }}:s:* %W~{{ $tag }}:speakers -@all +client|setname +info +evalsha +eval +evalsha_ro +eval_ro +hmget +hset +del +xadd +xlen +xrange +xrevrange +xread +sadd
user porter-reader on #{{ .reader }} resetkeys resetchannels %R~{{ $tag }}:* -@all +client|setname +info +evalsha_ro +eval_ro +hmget +xrange +xrevrange +xread +smembers
user porter-operator on #{{ .operator }} resetkeys resetchannels %RW~{{ $tag }}:* -@all +client|setname +exists +hset +sadd +xadd
{{- end -}}

{{- define "redis.configuration" -}}
port 6379
protected-mode no
dir /data
aclfile /etc/redis-users/users.acl
appendonly yes
appendfsync {{ .Values.appendfsync }}
save ""
maxmemory-policy noeviction
{{- with .Values.maxmemory }}
maxmemory {{ . }}
{{- end }}
{{- end -}}
