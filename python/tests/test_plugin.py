"""The plugin, as pytest sees it."""


def test_it_is_found_by_its_entry_point(pytester):
    pytester.makepyfile("def test_card(vuicc_card): assert vuicc_card.atr")
    result = pytester.runpytest_subprocess("--trace-config")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*vuicc*plugin.py*", "vuicc: /*"])


def test_markers_are_known_and_the_closest_wins(pytester):
    pytester.makepyfile(
        """
        import pytest
        pytestmark = pytest.mark.vuicc_card(type="uicc")

        def test_of_the_module(vuicc_card):
            assert vuicc_card.subscriber is not None

        @pytest.mark.vuicc_card(type="euicc", default_smdp="smdp.example.com")
        def test_of_its_own(vuicc_card):
            assert vuicc_card.show()["euicc"]["default_dp_address"] == "smdp.example.com"
        """
    )
    pytester.runpytest_subprocess("--strict-markers").assert_outcomes(passed=2)


def test_a_wrong_option_fails_the_test_and_names_it(pytester):
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.vuicc_card(colour="red")
        def test_red(vuicc_card): pass

        @pytest.mark.vuicc_card("uicc")
        def test_position(vuicc_card): pass
        """
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*UsageError*--colour*", "*options by name*"])


def test_each_test_has_a_card_of_its_own(pytester):
    pytester.makepyfile(
        """
        eids = set()
        def test_one(vuicc_card): eids.add(vuicc_card.eid)
        def test_two(vuicc_card):
            eids.add(vuicc_card.eid)
            assert len(eids) == 2
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=2)
