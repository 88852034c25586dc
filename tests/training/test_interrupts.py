"""The first signal is a wish, the second one acts."""

import os
import signal
import threading

import pytest

from textae.training.interrupts import Interrupted, Interrupts

pytestmark = pytest.mark.backend_free


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_only_noted(number):
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with Interrupts() as interrupts:
        assert interrupts.received is None
        os.kill(os.getpid(), number)
        assert interrupts.received == number
        assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_the_second_one_acts():
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.received == signal.SIGINT
        os.kill(os.getpid(), signal.SIGINT)


def test_handlers_come_back_after_an_error():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError), Interrupts():
        assert signal.getsignal(signal.SIGTERM) != before
        raise RuntimeError
    assert signal.getsignal(signal.SIGTERM) == before


def test_other_threads_are_left_alone():
    seen = []

    def work():
        before = signal.getsignal(signal.SIGTERM)
        with Interrupts() as interrupts:
            seen.append((interrupts.received, signal.getsignal(signal.SIGTERM) == before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(None, True)]


def test_what_is_said():
    assert str(Interrupted(signal.SIGTERM)) == "stopped by SIGTERM"
    assert Interrupted(signal.SIGINT).exit_code == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_where_nothing_is_lost_the_first_one_acts(number):
    done = []
    with pytest.raises(Interrupted) as caught, Interrupts() as interrupts, interrupts.at_once():
        done.append("before")
        os.kill(os.getpid(), number)
        done.append("after")
    assert done == ["before"]
    assert caught.value.exit_code == 128 + number


def test_one_received_before_acts_on_the_way_in():
    with Interrupts() as interrupts:
        interrupts.check()
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted), interrupts.at_once():
            pytest.fail("it should not have come here")
        with pytest.raises(Interrupted):
            interrupts.check()


def test_what_a_library_makes_of_it_is_an_interrupt_all_the_same():
    with pytest.raises(Interrupted), Interrupts() as interrupts, interrupts.at_once():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except BaseException as error:
            raise RuntimeError("something went wrong") from error


def test_other_errors_are_their_own():
    with pytest.raises(RuntimeError, match="mine"), Interrupts() as interrupts, interrupts.at_once():
        raise RuntimeError("mine")
