"""Which exercises are done: python -m course.progress"""

import sys

from course.checking import check_module, numbers, solution, stub
from course.conftest import explain, unwritten


def state(number: int) -> str:
    try:
        check_module(number).check(solution(number))
    except (Exception, SystemExit) as error:  # of whatever kind the student's code raises
        return "not yet" if unwritten(error) else "no: " + explain(error).splitlines()[0]
    return "done"


def main() -> int:
    states = []
    for number in numbers():
        states.append(state(number))
        title = stub(number).read_text().splitlines()[0].strip('"').rstrip(".")
        print(f"{title:75}  {states[-1]}", flush=True)
    print(f"{states.count('done')} of {len(states)} done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
