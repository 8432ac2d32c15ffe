#!/bin/sh
# A stand-in for nvidia-smi that reads before every row, from the control file, what it shall do. The file's words:
#   values        rows of figures (the default)      n/a       rows in which every figure is [N/A]
#   hang          no answer, deaf to TERM            vanish    the driver lost the device
#   absent        as if there were no such program   period=S  seconds between rows, whatever -l says
#   FIELD=VALUE   a figure, as "utilization.gpu=93"
control=@CONTROL@
count=@COUNT@

fields='' period='' header=yes units=yes index=''
for word in "$@"; do
    case ${previous:-} in -l | -lms | -i)
        case $previous in -l) period=$word ;; -lms) period=$(printf '%d.%03d' $((word / 1000)) $((word % 1000))) ;; -i) index=$word ;; esac
        previous=
        continue
        ;;
    esac
    case $word in
    --query-gpu=*) fields=${word#*=} ;;
    --format=*)
        case $word in *noheader*) header= ;; esac
        case $word in *nounits*) units= ;; esac
        ;;
    --loop=*) period=${word#*=} ;;
    -l | -lms | -i) previous=$word ;;
    -L) fields=listing ;;
    esac
done

figure() { # name, index: the value without unit, then its unit
    unit=
    case $1 in
    timestamp) value=$(date '+%Y/%m/%d %H:%M:%S.000') ;;
    index) value=$2 ;;
    uuid) value=GPU-00000000-0000-4000-8000-00000000000$2 ;;
    name) value='NVIDIA A100-SXM4-80GB' ;;
    driver_version) value=570.124.06 ;;
    utilization.gpu) value=87 unit=' %' ;;
    utilization.memory) value=41 unit=' %' ;;
    memory.used) value=40536 unit=' MiB' ;;
    memory.total) value=81920 unit=' MiB' ;;
    memory.free) value=41384 unit=' MiB' ;;
    temperature.gpu) value=56 ;;
    power.draw) value=287.31 unit=' W' ;;
    power.limit) value=400.00 unit=' W' ;;
    clocks.sm) value=1410 unit=' MHz' ;;
    pstate) value=P0 ;;
    *)
        echo "Field \"$1\" is not a valid field to query."
        exit 2
        ;;
    esac
    case $1 in timestamp | index | uuid | name | driver_version) return ;; esac
    if [ "$mode" = n/a ]; then
        value='[N/A]' unit=
    fi
    for word in $settings; do
        case $word in "$1="*) value=${word#*=} ;; esac
    done
}

obey() { # read the control file; act on it where that means the end
    mode=values settings=$(cat "$control" 2>/dev/null)
    for word in $settings; do
        case $word in
        values | n/a | hang | vanish | absent) mode=$word ;;
        period=*) [ -z "$period" ] || period=${word#*=} ;;
        esac
    done
    case $mode in
    hang)
        trap '' TERM INT HUP PIPE
        while :; do sleep 0.2; done
        ;;
    vanish)
        echo 'Failed to initialize NVML: Unknown Error'
        exit 255
        ;;
    absent)
        echo 'sh: 1: nvidia-smi: not found' >&2
        exit 127
        ;;
    esac
    if [ "$count" = 0 ]; then
        echo 'No devices were found'
        exit 6
    fi
}

row() { # index
    line=
    for field in $(echo "$fields" | tr ',' ' '); do
        figure "$field" "$1"
        line="$line${line:+, }$value${units:+$unit}"
    done
    echo "$line"
}

rows() {
    number=0
    while [ "$number" -lt "$count" ]; do
        if [ -z "$index" ] || [ "$index" = "$number" ]; then
            row "$number"
        fi
        number=$((number + 1))
    done
}

obey
if [ "$fields" = listing ]; then
    number=0
    while [ "$number" -lt "$count" ]; do
        echo "GPU $number: NVIDIA A100-SXM4-80GB (UUID: GPU-00000000-0000-4000-8000-00000000000$number)"
        number=$((number + 1))
    done
    exit 0
fi
[ -n "$fields" ] || fields=index,name,temperature.gpu,power.draw,memory.used,memory.total,utilization.gpu
[ -z "$header" ] || echo "$fields" | sed 's/,/, /g'
rows
while [ -n "$period" ]; do
    sleep "$period" || exit 1
    obey
    rows || exit 1
done
