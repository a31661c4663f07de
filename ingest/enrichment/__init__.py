"""What a page view tells beyond its own words: pure steps, one a file, put together in
`steps.py`. Address and user agent end here; nothing of them goes into the message."""
