"""Taking what was made elsewhere: folders that other programs read without selfmoe."""
