# Completion of `python -m nas.<command>` in bash: commands, and of each the groups, cards and keys that Hydra knows.
_nas_complete() {
    local line=${COMP_LINE:0:COMP_POINT}
    local word=${line##* } rest command choices=""
    COMPREPLY=()
    case $line in
        *" -m nas."*" "*)
            rest=${line#* -m nas.}
            command=${rest%% *}
            choices=$(COMP_LINE="nas.$rest" "${COMP_WORDS[0]}" -m "nas.$command" -sc query=bash 2>/dev/null)
            ;;
        *" -m "*) choices="@COMMANDS@" ;;
    esac
    COMPREPLY=($(compgen -W "$choices" -- "$word"))
    if [[ $COMP_WORDBREAKS == *=* && $word == *=* ]]; then # bash replaces what stands behind the last = alone
        COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*=}"}"}")
    fi
}
complete -o nospace -o default -F _nas_complete python python3
