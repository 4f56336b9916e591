# bash completion for whyrss, made by: whyrss completion bash
_whyrss()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} view= options i
	local views="ledger core memstats spans goroutines maps record capture what-if gctrace run check top live profile pprof watch diff processes serve report help completion man"
	[[ $cur == = ]] && cur=
	[[ $prev == = ]] && prev=${COMP_WORDS[COMP_CWORD-2]}
	for ((i = 1; i < COMP_CWORD; i++)); do
		case " $views " in *" ${COMP_WORDS[i]} "*) view=${COMP_WORDS[i]}; break ;; esac
	done
	case $prev in
	--limit | -n) return ;;
	--sort | -s) return ;;
	--by) COMPREPLY=($(compgen -W "site-state state site start" -- "$cur")); return ;;
	--expect | -e) return ;;
	--junit) return ;;
	--gogc) return ;;
	--memlimit) return ;;
	--under) return ;;
	--every) return ;;
	--max-size) return ;;
	--duration | -d) return ;;
	--hz) return ;;
	--output | -o) return ;;
	--at) return ;;
	--kind) COMPREPLY=($(compgen -W "heap allocs goroutine block mutex threadcreate space stacks fragmentation" -- "$cur")); return ;;
	--as) COMPREPLY=($(compgen -W "published now" -- "$cur")); return ;;
	--debug) COMPREPLY=($(compgen -W "0 1 2" -- "$cur")); return ;;
	--exe) return ;;
	--cgroup) COMPREPLY=($(compgen -d -- "${cur:-/sys/fs/cgroup/}")); return ;;
	--listen) return ;;
	--allow-host) return ;;
	--tls-cert) return ;;
	--tls-key) return ;;
	--color) COMPREPLY=($(compgen -W "auto always never" -- "$cur")); return ;;
	--width | -w) return ;;
	help) COMPREPLY=($(compgen -W "$views" -- "$cur")); return ;;
	completion) COMPREPLY=($(compgen -W "bash zsh fish" -- "$cur")); return ;;
	esac
	if [[ $cur == -* ]]; then
		case $view in
		ledger) options="--json --csv --all --pss --freeze --exe --cgroup --color --width --verbose --help --version" ;;
		core) options="--json --csv --all --freeze --exe --cgroup --color --width --verbose --help --version" ;;
		memstats) options="--json --csv --all --freeze --exe --cgroup --color --width --verbose --help --version" ;;
		spans) options="--json --csv --all --limit --sort --freeze --exe --cgroup --color --width --verbose --help --version" ;;
		goroutines) options="--json --csv --all --limit --sort --by --freeze --exe --cgroup --color --width --verbose --help --version" ;;
		maps) options="--json --csv --all --limit --sort --pss --freeze --exe --cgroup --color --width --verbose --help --version" ;;
		record) options="--json --csv --all --every --max-size --duration --hz --output --color --width --help --version" ;;
		capture) options="--json --csv --all --output --stacks --pss --freeze --exe --color --width --help --version" ;;
		what-if) options="--json --csv --all --gogc --memlimit --advise --under --duration --color --width --help --version" ;;
		gctrace) options="--json --csv --all --output --color --width --help --version" ;;
		run) options="--json --csv --all --gctrace --hz --output --color --width --help --version" ;;
		check) options="--json --csv --all --expect --junit --color --width --help --version" ;;
		top) options="--json --csv --all --color --width --help --version" ;;
		live) options="--json --csv --all --duration --hz --color --width --verbose --help --version" ;;
		profile) options="--json --csv --all --output --kind --as --errors --debug --freeze --exe --cgroup --color --width --verbose --help --version" ;;
		pprof) options="--json --csv --all --color --width --help --version" ;;
		watch) options="--json --csv --all --output --stacks --at --once --pss --color --width --help --version" ;;
		diff) options="--json --csv --all --color --width --help --version" ;;
		processes) options="--json --csv --all --sort --color --width --help --version" ;;
		serve) options="--json --csv --all --exe --listen --allow-host --tls-cert --tls-key --color --width --help --version" ;;
		report) options="--json --csv --all --output --freeze --exe --cgroup --color --width --verbose --help --version" ;;
		help) options="--json --csv --all --color --width --help --version" ;;
		completion) options="--json --csv --all --color --width --help --version" ;;
		man) options="--json --csv --all --color --width --help --version" ;;
		*) options="--json --csv --all --pss --freeze --exe --cgroup --color --width --verbose --help --version" ;;
		esac
		COMPREPLY=($(compgen -W "$options" -- "$cur"))
		return
	fi
	[[ $view ]] && views=
	COMPREPLY=($(compgen -W "$views $("$1" processes --csv 2>/dev/null | awk -F, 'NR > 1 { if ($1 ~ /^[0-9]+$/) print $1; if ($2 ~ /^[A-Za-z0-9._-]+$/) print $2 }')" -- "$cur"))
}
complete -o default -F _whyrss whyrss
