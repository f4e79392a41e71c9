"""Which exercises are done: python -m course.progress"""

import sys

from course.checking import check_module, numbers, solution, stub
from course.conftest import explain


def state(number: int) -> str:
    try:
        check_module(number).check(solution(number))
    except NotImplementedError:
        return "not yet"
    except Exception as error:  # of whatever kind the student's code raises
        return "no: " + explain(error).splitlines()[0]
    return "done"


def main() -> int:
    states = {number: state(number) for number in numbers()}
    for number, what in states.items():
        title = stub(number).read_text().splitlines()[0].strip('"').rstrip(".")
        print(f"{title:75}  {what}")
    print(f"{list(states.values()).count('done')} of {len(states)} done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
