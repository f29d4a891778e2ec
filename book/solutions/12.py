"""Solutions of chapter 12, one function an exercise."""

from physldm.runs import open_run


def equal_parts():
    run = open_run()
    return int((run.schedule.alpha_bar <= 0.5).nonzero()[0])
